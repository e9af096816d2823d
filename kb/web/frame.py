"""The page around the tabs: their list, their addresses, the looks, and what Gradio is told.

Nothing on the page comes from another machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

import gradio as gr

from kb import phrases, render
from kb.web import api, ask, batch, check, library
from kb.web.desk import ASKING, QUIET, visitor

if TYPE_CHECKING:
    from kb.pipeline import KnowledgeBase

# Requests of one kind worked on at the same moment; how many may wait before the rest are told to come back.
AT_ONCE = max(4, 2 * (os.cpu_count() or 1))
WAITING = 200
KEPT_S = (3_600, 86_400)  # uploads and downloads are looked through every hour and removed after a day


@dataclass(frozen=True, slots=True)
class Tab:
    """A tab: its address behind the #, the word on it, and the function that lays it out."""

    name: str
    label: str
    build: Callable[[gr.Blocks, KnowledgeBase], None]


TABS = (
    Tab("ask", phrases.TABS["ask"], ask.tab),
    Tab("check", phrases.TABS["check"], check.tab),
    Tab("batch", phrases.TABS["batch"], batch.tab),
    Tab("library", phrases.TABS["library"], library.tab),
)

# The address decides which tab is shown, so that reloading, links and the back button keep it. Within the
# list of tabs the arrow keys move, as people who work with the keyboard expect.
TABS_JS = """() => {
  const tabs = [...document.querySelectorAll('#tabs [role=tab]')], scrolled = {};
  const panel = (tab) => document.getElementById(tab.getAttribute('aria-controls'));
  let open = '', moved = false;
  const show = () => {
    const tab = tabs.find((one) => one.hash === location.hash) || tabs[0];
    scrolled[open] = scrollY;
    open = tab.hash;
    for (const one of tabs) {
      const chosen = one === tab;
      one.setAttribute('aria-selected', chosen);
      one.tabIndex = chosen ? 0 : -1;
      panel(one).hidden = !chosen;
    }
    scrollTo(0, scrolled[open] || 0);
    if (moved) tab.focus({preventScroll: true});  // an element with the name of the address takes it away
    moved = false;
  };
  for (const tab of tabs) {
    panel(tab).setAttribute('role', 'tabpanel');
    panel(tab).setAttribute('aria-labelledby', tab.id);
  }
  document.getElementById('tabs').addEventListener('keydown', (event) => {
    const at = tabs.indexOf(event.target), last = tabs.length - 1;
    const to = {ArrowRight: at === last ? 0 : at + 1, ArrowLeft: at ? at - 1 : last, Home: 0, End: last};
    if (at < 0 || !(event.key in to)) return;
    event.preventDefault();
    tabs[to[event.key]].focus();
    moved = true;
    tabs[to[event.key]].click();
  });
  addEventListener('hashchange', show);
  show();
}"""


def build_app(kb: KnowledgeBase) -> gr.Blocks:
    """The page and its API over an open knowledge base; launch or mount it with ``page_options()``."""
    page = gr.Blocks(title="kbqa", analytics_enabled=False, fill_width=True, delete_cache=KEPT_S)
    with page:
        api.publish(kb)  # first, so that no event of a tab takes one of its names
        gr.HTML(
            render.tabs_html([(tab.name, tab.label) for tab in TABS]),
            elem_id="tabs",
            js_on_load=None,
            apply_default_css=False,
        )
        who = gr.HTML("", elem_id="who", js_on_load=None, apply_default_css=False)
        page.load(_who, None, who, **QUIET)
        for tab in TABS:
            with gr.Column(elem_id=f"tab-{tab.name}", elem_classes="tab"):
                tab.build(page, kb)
        page.load(None, js=TABS_JS)
    # Where this is not set, as in a page that is mounted, Gradio takes any path of this machine that a
    # request names for a file that was uploaded.
    page.has_launched = True
    # What is sent past the queue would be past its limits.
    page.max_threads = ASKING + 40  # so many are left to the rest when all that ask wait for their turn
    page.queue(max_size=WAITING, default_concurrency_limit=AT_ONCE, api_open=False)
    return page


def _who(request: gr.Request) -> str:
    """Who is logged in, with the way out; nothing where nobody logs in."""
    seen = visitor(request)
    if not seen.name:
        return ""
    out = "" if seen.by_proxy else f"<button>{phrases.LOG_OUT}</button>"
    return (
        f'<form class="who" method="post" action="logout"><bdi>{render.escape(seen.name)}</bdi>{out}</form>'
    )


def page_options() -> dict[str, Any]:
    """What ``launch`` and ``mount_gradio_app`` are told: our looks, and nothing that keeps or sends data."""
    return {
        "theme": _theme(),
        "css": resources.files("kb.web").joinpath("style.css").read_text("utf-8"),
        "head": HEAD,
        "footer_links": [],
        "run_history": False,
        "enable_monitoring": False,
        "show_error": False,
        "ssr_mode": False,
        "pwa": False,
    }


# Fonts that machines have; a font from elsewhere would be a request to elsewhere.
SANS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")

HEAD = """
<meta name="referrer" content="same-origin">
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
%3Crect width='16' height='16' rx='3' fill='%231f4e79'/%3E\
%3Cpath d='M4 4h8v6H8l-3 3v-3H4z' fill='%23fff'/%3E%3C/svg%3E">
"""


def _theme() -> gr.themes.Base:
    """Gradio's own widgets in the colours and fonts of the page."""
    return gr.themes.Base(primary_hue="slate", neutral_hue="stone", font=SANS, font_mono=MONO).set(
        body_background_fill="#fbfaf7",
        body_background_fill_dark="#161513",
        body_text_color="#1d1c1a",
        body_text_color_dark="#ece8e0",
        background_fill_primary="#fbfaf7",
        background_fill_primary_dark="#161513",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_shadow="none",
        input_background_fill="#ffffff",
        input_background_fill_dark="#1e1c1a",
    )
