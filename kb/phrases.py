"""What the web desk says around an answer, in one place: to translate the page, translate these.

Words in braces are filled in. What the library itself says (notices, explanations, errors) is not here.
"""

# The page
SITE = "kbqa"

# Before the first question
WELCOME = "Ask the documents"
PROMISE = (
    "Every sentence of an answer is taken from {documents} and cites its source. "
    "If they do not say, you are told so."
)
EXAMPLES = "Questions to start with"
EMPTY = "There is nothing to ask yet"
EMPTY_CURE = (
    "This library holds no documents. Add a folder of articles with {command}, then load this page again."
)

# Asking
QUESTION = "Your question"
PLACEHOLDER = "Ask a question"
ASK = "Ask"
STOP = "Stop"
CONVERSATION = "Conversation"
PENDING = "Reading the documents …"
UNCHECKED = "Not checked yet"
TOO_MUCH = "That was a lot at once. Please try again in {seconds} s."
STOPPED = "Stopped before it was finished."
UNANSWERED = "The question could not be answered."
NEW = "New"
NEW_NAME = "New conversation"
EDIT = "Edit"
EDIT_NAME = "Edit the question"
EDIT_DONE = "Ask again"
CANCEL = "Cancel"

# An answer
AS_OF = "From {articles}, {span}"
AS_OF_VERBATIM = "Word for word from {articles}, {span}"
AS_OF_UNDATED = "From {articles} without a date"
NEWEST = "newest in the library {date}"
SUPPORT = {
    "verbatim": "word for word in the source",
    "supported": "borne out by the source",
    "unsupported": "not in the source it names",
    "conflict": "the source it names says otherwise",
}
DIFFER = "Sources differ"
CHANGED = "This has changed over time"
VALUE_NEWEST = "newest"
UNDATED = "no date"
CLOSEST = "The closest passages, which do not answer it:"
ANSWERABLE = "What the documents do answer:"
NEXT = "Ask next:"

# How do we know?
HOW = "How do we know?"
HOW_ANSWERED = "{share} sure: of answers given with this confidence, about that share is right."
HOW_REFUSED = "{share} sure that the documents do not answer it."
HOW_FOUND = "These passages were found and read, the best first."
HOW_COLUMNS = ("Passage", "What became of it", "Meaning", "Words")
HOW_MEASURES = (
    "Meaning: how near the passage is to the question in meaning. Words: the share of the question's words, "
    "weighted by rarity, that it holds."
)
HOW_QUOTED = "Quoted: {numbers}"
HOW_SAME_SOURCE = "Not used: other sentences of this article answer better"
HOW_LOWER = "Not used: no sentence in it answers as well"
HOW_REJECTED = "Rejected: no sentence in it answers the question"
HOW_COPIES = "The same stands in {documents}."
HOW_QUOTING = "Chosen and quoted in {seconds}, without a language model."
HOW_WORDED = "Worded by {model} in {seconds}; each sentence was held against the passages that it cites."
HOW_TRACE = "What was searched for"

# With an answer
TOOLS = "This answer"
COPY = "Copy"
COPY_SOURCES = "Copy with sources"
COPIED = "Copied"
LINK = "Copy link"
LINK_NAME = "Copy a link that asks this again"
AGAIN = "Ask again"
EXPORT = "Export"
EXPORTS = {".md": "Markdown", ".html": "Web page", ".docx": "Word"}
PRINT = "Print or PDF"
FILE_ANSWER = "answer"
FILE_CONVERSATION = "conversation"
JUDGE = "Is this right?"
JUDGEMENTS = {"right": "Right", "wrong": "Wrong", "wrong source": "Wrong source"}
NOTE = "Note (what would be right, or which source?)"
NOTE_SAVE = "Save the note"
KEPT_HERE = "Thank you. Kept with the knowledge base."
KEPT_IN_BROWSER = "Thank you. Kept in this browser only."

# The row below the question
HISTORY = "History"
HISTORY_TITLE = "Earlier questions"
HISTORY_LEAD = "They are kept in this browser only. Choose one to ask it again."
HISTORY_EMPTY = "Nothing yet. What you ask will be listed here."
HISTORY_MORE = "and {count} more"
DELETE = "Delete"
DELETE_ALL = "Delete all"
FEEDBACK_SAVE = "Save my ratings as a question set"
CLOSE = "Close"
LINK_ALL = "Copy link"
LINK_ALL_NAME = "Copy a link that asks all questions again"

# The source
SOURCE = "Source"
SOURCE_OF = "Source {n} of {total}"
SOURCE_CLOSE = "Close the source"
SOURCE_PREVIOUS = "Previous source"
SOURCE_NEXT = "Next source"
ORIGINAL = "Open the original"
WHOLE = "Show the whole document"
NO_PLACE = "This link does not name a passage."
SOURCE_CHANGED = "This document has changed since the answer was given. Ask again to see what it says now."

# Read out, not shown
READ_ANSWER = "Answer with {sources}: {text}"
READ_REFUSAL = "The documents do not say."
READ_FAILED = "The question could not be answered: {text}"
