"""The web desk: one page with a tab for each thing people do, over an open knowledge base.

    desk -> source, draft, jobs, intake, shelf, talk, offers, feedback, transcript
         -> ask, check, batch, library -> api -> frame -> gate -> server

Imports point along this line. Only ``app.py`` imports the package from outside, since Gradio is heavy. A
tab is a module with one function ``tab(page, kb)`` that lays it out; ``frame.TABS`` lists them.
"""

import os

# Gradio reports usage unless this says False before it is first imported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
# After each event it sums up the last 10,000, up to 9 ms, for a page about them that is not there.
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))
