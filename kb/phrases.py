"""What the web desk says, in one place: to translate the page, translate these.

Words in braces are filled in. What the library itself says (notices, explanations, errors) is not here.
"""

# The page
SITE = "kbqa"
TABS = {"ask": "Ask", "check": "Check", "batch": "Batch", "library": "Library"}

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
HISTORY_BUSY = "An answer is being made. As soon as it is there, earlier questions can be asked again."
HISTORY_EMPTY = "Nothing yet. What you ask will be listed here."
HISTORY_MORE = "and {count} more"
DATES = "en-GB"  # whose way of writing dates the history uses: day first, as everywhere on the page
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

# Checking a draft
CHECK_TITLE = "Check a draft"
CHECK_LEAD = "Each claim is held against the documents, which are quoted."
CHECK_DRAFT = "Draft to check"
CHECK_PLACEHOLDER = "Paste a sentence or a whole draft"
CHECK = "Check"
CHECK_OPEN = "Open a file"
CHECK_LIMITS = "Only some documents"
CHECK_LIMITED = (
    ("Publisher", "a part of the name"),
    ("Document", "its id"),
    ("Published from", "2026-04-01"),
    ("Published until", "2026-04-30"),
)
CHECK_NOTHING = "There is no claim to check in this text."
CHECK_PROGRESS = "{claims} checked …"
CHECK_PROGRESS_NAME = "Part of the draft that is checked"
CHECK_VERDICTS = "Verdicts"
CHECK_VERDICT_NAME = "{verdict}: {number}, go to the next"
CHECK_EDIT = "Edit the draft"
CHECK_EVIDENCE = "Evidence"
CHECK_PREVIOUS = "Previous"
CHECK_PREVIOUS_KEY = "Left arrow"
CHECK_NEXT = "Next"
CHECK_NEXT_KEY = "Right arrow"
CHECK_PLACE = "Claim {n} of {total}"
CHECK_ORIGINAL = "Source {n}: open the original at the quote"
CHECK_PACKS = "Take the evidence along:"
CHECK_PACK_KINDS = {
    ".html": "Web page",
    ".docx": "Word",
    ".md": "Markdown",
    ".csv": "CSV",
    ".json": "JSON",
    ".jsonld": "ClaimReview",
}
CHECK_PACK_TITLE = "Checked text"
FILE_EVIDENCE = "evidence"

# Answering a list
LIST_TITLE = "Answer a list"
LIST_LEAD = (
    "Hand in a spreadsheet or a text file with a question or a claim in each row, and take it away with "
    "answers, quotes and sources beside each. Other columns are carried through. At most {rows:,} rows and "
    "{megabytes} MB. Lists stay on the machine that runs kbqa, where only this browser can reach them, for "
    "{days} days."
)
LIST_FILE = "Your list"
LIST_MODE = "What to do"
LIST_MODES = {"ask": "Answer questions", "check": "Check claims"}
LIST_KIND = "What to get"
LIST_KINDS = {
    ".xlsx": "Excel (.xlsx)",
    ".csv": "CSV (.csv)",
    ".html": "Report to read (.html)",
    ".md": "Markdown (.md)",
    ".jsonl": "JSON lines (.jsonl)",
}
LIST_START = "Start"
LIST_STOP = "Stop"
LIST_DOWNLOAD = "Download the file"
LIST_RECEIPT = "Receipt"
LIST_NONE, LIST_NONE_CURE = "there is no list", "choose a file first"
LIST_FOUND = "{rows} in the column “{column}”."
LIST_UNDERSTOOD = "Also understood: {columns}."
LIST_CARRIED = "Carried through: {columns}."
LIST_WRONG = "Row {row}: {error}"
LIST_MORE_WRONG = "And {number:,} more rows."
LIST_STOPPING = "Stopping."
LIST_ENDED = {"ask": "answered", "check": "judged", "not_found": "not found", "failed": "failed"}
LIST_DONE = "Done in {time}."
LIST_STOPPED = "Stopped, with {rows} left. Start again to go on."
LIST_UNWORDED = "For {rows} the chat model failed; start again to ask it again."
LIST_USAGE = "Chat model: {usage}"
LIST_RESUMED = "{rows} from an earlier run."

# The library
LIBRARY_TITLE = "The library"
LIBRARY_LEAD = "What the answers are made from, document by document."
LIBRARY_UPLOADS = "Add documents"
LIBRARY_TAKEN = "At most {files:,} files of {megabytes} MB each. They stay on the machine that runs kbqa."
LIBRARY_ADD = "Add them"
LIBRARY_AGAIN = "Read all sources again"
LIBRARY_EXAMINE = "Examine"
LIBRARY_NOT_YOURS, LIBRARY_NOT_YOURS_CURE = "Only editors may change the library.", "log in as one"
LIBRARY_NO_FILE = "There is no file: choose one first."
LIBRARY_READING = "Reading"
LIBRARY_READING_AGAIN = "Reading again"
LIBRARY_DOCUMENTS = "Documents"
LIBRARY_FIND = "Find"
LIBRARY_FIND_PLACEHOLDER = "Title, publisher, author, date"
LIBRARY_PUBLISHER = "Publisher"
LIBRARY_EVERY_PUBLISHER = "All publishers"
LIBRARY_SHOW = "Show"
LIBRARY_ONLY = {"all": "All documents", "copies": "Copies of each other", "problems": "With a problem"}
LIBRARY_ORDER = "Order"
LIBRARY_ORDERS = {
    "newest": "Newest first",
    "oldest": "Oldest first",
    "title": "By title",
    "publisher": "By publisher",
    "passages": "Most passages first",
}
LIBRARY_EMPTY = "The library is empty. {how}."
LIBRARY_EMPTY_EDITS = "Choose files above"
LIBRARY_EMPTY_READS = "Add a folder of articles with {command}"
LIBRARY_SOME = "{number:,} of {documents}"
LIBRARY_NONE = "No document is like that."
LIBRARY_REMOVE_TICKED = "Remove the ticked"
LIBRARY_TICK = "Tick"
LIBRARY_TICK_NAME = "Tick {title}"
LIBRARY_COLUMNS = ("Document", "Publisher", "Date", "Passages")
LIBRARY_COPIES = "Nearly the same text as {documents}."
LIBRARY_PREVIOUS = "Previous"
LIBRARY_PLACE = "{first:,}–{last:,} of {total:,}"
LIBRARY_NEXT = "Next"
LIBRARY_CHARACTERS = "{number:,} characters"
LIBRARY_READ_FROM = "Read from {source}"
LIBRARY_COPIES_LIST = "Nearly the same text:"
LIBRARY_REMOVE = "Remove this document"
LIBRARY_BACK = "Back to the list"
LIBRARY_PASSAGES = "Passages"
LIBRARY_PAGE = "page {page}"
LIBRARY_PASSAGE = "characters {start:,}–{end:,}"
LIBRARY_MISSING = "Not here"
LIBRARY_MISSING_WHY = "There is no document {id!r}: it may have been removed."
LIBRARY_STEP = "{verb}: {done:,} of {sources}."
LIBRARY_OUTCOMES = {
    "added": "Added",
    "updated": "Updated",
    "unchanged": "Unchanged",
    "failed": "Failed",
    "gone": "Gone",
}
LIBRARY_NOTHING_READ = "There was nothing to read"
LIBRARY_QUIET = "The {number:,} that are unchanged are not listed."
LIBRARY_MORE = "and {number:,} more"
LIBRARY_REMOVED = "“{title}” was removed."
LIBRARY_REMOVED_SEVERAL = "{documents} were removed."
LIBRARY_REMOVED_FILE = "A file that still lies in its folder comes back when it is read again."
LIBRARY_NONE_NAMED, LIBRARY_NONE_NAMED_CURE = "no document was named", "tick one first"
LIBRARY_NO_UNDO = "there is nothing to undo"
LIBRARY_UNDO = "Undo"
LIBRARY_UNDONE = "{documents} is there again."
LIBRARY_UNDONE_SEVERAL = "{documents} are there again."
LIBRARY_SOUND = "The library is sound."
LIBRARY_DAMAGED = "The library is damaged."
LIBRARY_DAMAGE = "Damage"
LIBRARY_NOTE = "Note"
LIBRARY_MEND = "Mend it"
LIBRARY_MENDED = "Mended: {what}."
LIBRARY_CHARTS = "Charts"
LIBRARY_BY = {"month": "Documents by month", "year": "Documents by year"}
LIBRARY_BY_PUBLISHER = "Documents by publisher"
LIBRARY_UNDATED = "{documents} without a date"
LIBRARY_FIGURES = "The figures as tables"
LIBRARY_UNITS = {"month": "Month", "year": "Year"}
LIBRARY_CHART_NAME = "{first} to {last}; most in {peak}: {documents}"

# Logging in
LOG_IN_PAGE = "kbqa: log in"
LOG_IN = "Log in"
LOG_IN_NAME = "Name"
LOG_IN_PASSWORD = "Password"
LOG_IN_WRONG = "The name or the password is wrong."
LOG_OUT = "Log out"

# Read out, not shown
READ_ANSWER = "Answer with {sources}: {text}"
READ_REFUSAL = "The documents do not say."
READ_FAILED = "The question could not be answered: {text}"
