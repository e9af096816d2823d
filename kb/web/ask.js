// The Ask tab in the browser: what a click on the plain HTML of a conversation does, what is read aloud, and
// what this browser remembers. SAY holds the words. Nothing here is sent anywhere but by trigger().

const HISTORY = 'kbqa.history', RATINGS = 'kbqa.ratings', MOST = 50;
const calm = matchMedia('(prefers-reduced-motion: reduce)'), touch = matchMedia('(pointer: coarse)');
const tab = element.closest('#tab-ask') || document;
const find = (css) => tab.querySelector(css);
const remembered = (key) => { try { return JSON.parse(localStorage.getItem(key)) || []; } catch { return []; } };
const remember = (key, value) => { try { localStorage.setItem(key, JSON.stringify(value)); } catch { /* full, or not allowed */ } };
const after = new Map();  // what was done with an exchange, put back when the conversation is drawn anew
const about = (n) => after.get(n) || after.set(n, {}).get(n);
let conversation = null, shown = 0, said = '', toFocus = 0;

const aloud = (text) => { const place = find('#ask-aloud'); if (place) place.textContent = text; };

// ------------------------------------------------------------------------------ asking

const busy = () => Boolean(find('.exchange[aria-busy=true]'));

const ask = (questions) => {
  if (busy()) return;  // one answer after the other
  aloud(SAY.PENDING);
  trigger('ask', {questions});
};

const edit = (exchange) => {
  const heading = exchange.querySelector('.question'), form = document.createElement('form');
  form.className = 'editing';
  const box = Object.assign(document.createElement('textarea'), {value: heading.textContent, rows: 2});
  box.setAttribute('aria-label', SAY.QUESTION);
  const button = (text, type, css) => Object.assign(document.createElement('button'), {textContent: text, type, className: css});
  const cancel = button(SAY.CANCEL, 'button', 'quiet');
  const done = () => { form.remove(); exchange.querySelector('.asked').hidden = false; };
  const send = () => { if (busy()) return; toFocus = Number(exchange.dataset.n); trigger('redo', {n: toFocus, question: box.value}); };
  form.append(box, button(SAY.EDIT_DONE, 'submit', 'judge'), cancel);
  form.addEventListener('submit', (event) => { event.preventDefault(); send(); });
  form.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && !event.shiftKey && event.target === box) { event.preventDefault(); send(); }
    if (event.key === 'Escape') { event.preventDefault(); done(); exchange.querySelector('[data-act=edit]').focus(); }
  });
  cancel.addEventListener('click', () => { done(); exchange.querySelector('[data-act=edit]').focus(); });
  exchange.querySelector('.asked').hidden = true;
  exchange.prepend(form);
  box.focus();
};

// ------------------------------------------------------------------------------ taking along

const copy = (button, text) => {
  const label = button.dataset.label || (button.dataset.label = button.textContent);
  const done = () => {
    button.textContent = SAY.COPIED;
    aloud(SAY.COPIED);
    setTimeout(() => { button.textContent = label; }, 2000);
  };
  if (navigator.clipboard) { navigator.clipboard.writeText(text).then(done); return; }
  const area = Object.assign(document.createElement('textarea'), {value: text});  // plain http on another host
  document.body.append(area); area.select(); document.execCommand('copy'); area.remove(); done();
};

const link = (questions) => {
  const query = questions.map((question) => 'q=' + encodeURIComponent(question)).join('&');
  return `${location.origin}${location.pathname}?${query}`;
};

const questions = () => [...element.querySelectorAll('.question')].map((one) => one.textContent);

const print = (of) => {
  const only = of !== 'all' && element.querySelector(`.exchange[data-n="${of}"]`);
  if (only) only.classList.add('only');
  element.classList.toggle('printing-one', Boolean(only));
  window.print();
  element.classList.remove('printing-one');
  if (only) only.classList.remove('only');
};

const save = (name, text) => {
  const file = Object.assign(document.createElement('a'), {download: name});
  file.href = URL.createObjectURL(new Blob([text], {type: 'application/octet-stream'}));
  file.click();
  setTimeout(() => URL.revokeObjectURL(file.href), 60000);
};

// ------------------------------------------------------------------------------ history and ratings

const note = () => {
  const asked = questions();
  if (!asked.length) return;
  conversation = conversation || Date.now();
  const others = remembered(HISTORY).filter((one) => one.at !== conversation);
  remember(HISTORY, [{at: conversation, questions: asked}, ...others].slice(0, MOST));
};

const list = () => {
  const dialog = find('#history'), past = remembered(HISTORY), place = dialog.querySelector('.past');
  place.replaceChildren(...past.map((one) => {
    const item = document.createElement('li'), open = document.createElement('button');
    const drop = document.createElement('button'), when = document.createElement('span');
    open.className = 'example';
    open.textContent = one.questions[0];
    open.dataset.at = one.at;
    when.className = 'when';
    const more = one.questions.length - 1;
    when.textContent = new Date(one.at).toLocaleString(SAY.DATES, {dateStyle: 'medium', timeStyle: 'short'}) +
      (more ? ', ' + SAY.HISTORY_MORE.replace('{count}', more) : '');
    drop.className = 'quiet';
    drop.textContent = SAY.DELETE;
    drop.setAttribute('aria-label', `${SAY.DELETE}: ${one.questions[0]}`);
    drop.dataset.drop = one.at;
    item.append(open, when, drop);
    return item;
  }));
  offer();
  dialog.querySelector('.none').hidden = past.length > 0;
  dialog.querySelector('[data-act=history-clear]').hidden = !past.length && !remembered(RATINGS).length;
  dialog.querySelector('[data-act=ratings]').hidden = !remembered(RATINGS).length;
};

// While an answer is made nothing else can be asked: the history says so, and offers itself when it is there.
const offer = () => {
  const told = find('#history [role=status]'), say = busy() ? SAY.HISTORY_BUSY : SAY.HISTORY_LEAD;
  if (told && told.textContent !== say) told.textContent = say;  // it may be drawn later than a first answer
  for (const open of tab.querySelectorAll('#history .example')) open.disabled = busy();
};

const rate = (exchange, judged, note) => {
  const n = Number(exchange.dataset.n);
  Object.assign(about(n), {judged, note, kept: ''});
  restore(exchange);
  trigger('judge', {n, judged, note});
};

// The server's word on a rating: kept with the knowledge base, or for this browser to keep.
window.kbqaTold = (place) => {
  const span = place.querySelector('[data-told]');
  if (!span) return;
  const {n, kept, row} = JSON.parse(span.dataset.told);
  remember(RATINGS, [...remembered(RATINGS).filter((one) => one.id !== row.id), row]);
  about(n).kept = kept ? SAY.KEPT_HERE : SAY.KEPT_IN_BROWSER;
  const exchange = element.querySelector(`.exchange[data-n="${n}"]`);
  if (exchange) restore(exchange);
};

const restore = (exchange) => {
  const {judged, note, kept, how} = about(Number(exchange.dataset.n));
  const details = exchange.querySelector('.how'), form = exchange.querySelector('.note');
  if (details) details.open = Boolean(how);
  for (const button of exchange.querySelectorAll('[data-judge]'))
    button.setAttribute('aria-pressed', button.dataset.judge === judged);
  if (!form) return;
  form.hidden = !judged;
  if (document.activeElement !== form.querySelector('input')) form.querySelector('input').value = note || '';
  exchange.querySelector('.kept').textContent = kept || '';
};

// ------------------------------------------------------------------------------ events

const acts = {
  history: () => { list(); find('#history').showModal(); },
  'history-close': () => find('#history').close(),
  'history-clear': () => { remember(HISTORY, []); remember(RATINGS, []); conversation = null; list(); },
  ratings: () => save('ratings.jsonl', remembered(RATINGS).map((one) => JSON.stringify(one) + '\n').join('')),
  'link-all': (button) => copy(button, link(questions())),
  link: (button, exchange) => copy(button, link([exchange.querySelector('.question').textContent])),
  again: (button, exchange) => { if (busy()) return; toFocus = Number(exchange.dataset.n); trigger('redo', {n: toFocus}); },
  edit: (button, exchange) => edit(exchange),
  new: () => { trigger('new'); find('#question textarea').focus(); },
};

tab.addEventListener('click', (event) => {
  const target = event.target, exchange = target.closest('.exchange');
  const on = (css) => target.closest(css);
  const act = on('[data-act]'), chosen = on('[data-question]'), copied = on('[data-copy]');
  const file = on('[data-export]'), printed = on('[data-print]'), judged = on('[data-judge]');
  const past = on('[data-at]'), dropped = on('[data-drop]');
  if (act) acts[act.dataset.act](act, exchange);
  if (chosen) ask([chosen.dataset.question]);
  if (copied) copy(copied, copied.dataset.copy);
  if (file) trigger('export', {suffix: file.dataset.export, n: Number(file.dataset.of)});
  if (printed) print(printed.dataset.print);
  if (judged) rate(exchange, judged.dataset.judge, about(Number(exchange.dataset.n)).note || '');
  if (past) {
    const found = remembered(HISTORY).find((one) => one.at === Number(past.dataset.at));
    find('#history').close();
    if (found) ask(found.questions);
  }
  if (dropped) {
    remember(HISTORY, remembered(HISTORY).filter((one) => one.at !== Number(dropped.dataset.drop)));
    list();
    (find('#history .past button') || find('#history .close')).focus();
  }
  for (const menu of tab.querySelectorAll('.menu[open]'))
    if (!menu.contains(target) || file || printed) menu.open = false;
});
tab.addEventListener('submit', (event) => {
  const form = event.target.closest('.note');
  if (!form) return;
  event.preventDefault();
  const exchange = form.closest('.exchange');
  rate(exchange, about(Number(exchange.dataset.n)).judged, form.querySelector('input').value);
});
tab.addEventListener('keydown', (event) => {  // before the box itself hears of it
  if (event.key !== 'Enter' || event.shiftKey || !busy() || !event.target.closest('#question')) return;
  event.preventDefault();
  event.stopPropagation();
}, true);
tab.addEventListener('keydown', (event) => {
  const menu = event.target.closest('.menu[open]');
  if (event.key !== 'Escape' || !menu) return;
  event.preventDefault();
  menu.open = false;
  menu.querySelector('summary').focus();
});
element.addEventListener('toggle', (event) => {
  const exchange = event.target.closest('.exchange');
  if (event.target.matches('.how')) about(Number(exchange.dataset.n)).how = event.target.open;
}, true);

watch('value', () => {
  const exchanges = [...element.querySelectorAll('.exchange')], last = exchanges[exchanges.length - 1];
  if (!last) { after.clear(); conversation = null; shown = 0; said = ''; return; }
  for (const n of after.keys()) if (n > exchanges.length) after.delete(n);
  const behavior = calm.matches ? 'auto' : 'smooth';
  if (last.getAttribute('aria-busy') === 'true') after.delete(exchanges.length);
  exchanges.forEach(restore);
  offer();
  if (exchanges.length > shown) {
    if (touch.matches && document.activeElement.closest('#question')) document.activeElement.blur();  // its keyboard would cover the answer
    last.scrollIntoView({block: 'start', behavior});
  }
  shown = exchanges.length;
  if (last.getAttribute('aria-busy') === 'true') {
    if (said !== SAY.PENDING) aloud(said = SAY.PENDING);
  } else if (said !== last.dataset.aloud) {
    aloud(said = last.dataset.aloud);
    note();
    if (toFocus && document.activeElement === document.body) last.querySelector('.question').focus({preventScroll: true});
    toFocus = 0;
  }
});

// An address with questions asks them; once, when the page has been loaded.
const given = new URLSearchParams(location.search).getAll('q').filter((one) => one.trim());
if (given.length && !window.kbqaGiven) { window.kbqaGiven = true; setTimeout(() => ask(given), 0); }
