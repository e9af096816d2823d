"""Train the reader and the judge (``kb/reader.py``), which are two heads on one encoder.

    python -m benchmarks.train_reader SQUADSHIFTS.jsonl.gz TREC.jsonl.gz OUT_FOLDER [--epochs 3] [--write]
        [--start kb/reader.safetensors] [--written] [--mean] [--pairs PAIRS.jsonl.gz ...]
        [--rate 1e-4]

It starts from the packaged MiniLM weights, or with ``--start`` from a reader. What is read is drawn anew for
every epoch (``benchmarks/exercises.py``), with ``--written`` also questions written for this
(``benchmarks/written.py``, and ``benchmarks/archive.py`` twice); with ``--pairs`` (labelled claims) claims
are judged as well (``benchmarks/judgements.py``). ``--mean`` takes the mean of the weights before and after,
which keeps more of what a reader could before. The embedding tables stay as they are, so that only the
encoder layers have to be shipped. The loss of reading is that of extractive reading with an answer "not here"
(Devlin and others, NAACL 2019), summed over all the places that are right (Clark and Gardner, ACL 2018); that
of judging is the cross entropy of three verdicts. A twentieth of the paragraphs and stories is kept for the
figures, three twentieths for fitting what comes after (``benchmarks/fit_extract.py``). Resumable: every 200
steps a checkpoint is written. Two cores with bfloat16 read some 4,500 word pieces a second, one some 2,700,
two without it some 1,600.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import pickle
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from transformers import BertModel

from benchmarks import archive, written
from benchmarks.asked import SEED, Row, fill, pairs_by_question
from benchmarks.asked import read as read_squadshifts
from benchmarks.exercises import WIKIPEDIA, Exercise, Exercises, of_sentences
from benchmarks.judgements import Judgement, Judgements, of_pairs
from benchmarks.written import Written
from kb import minilm, reader
from kb.question import analyse
from kb.retrieve import search
from kb.settings import load_settings
from kb.store import Store
from kb.weigh import VERDICTS

BATCH_PIECES = 4096


@dataclass(frozen=True, slots=True)
class Example:
    """An exercise or a judgement as word pieces.

    ``begins`` and ``ends`` are the pieces at which the answers to an exercise begin and end (0: not here).
    """

    exercise: Exercise | Judgement
    pieces: reader.Pieces
    begins: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()

    @property
    def verdict(self) -> int | None:
        return self.exercise.verdict if isinstance(self.exercise, Judgement) else None


class Network(torch.nn.Module):
    """The encoder and its heads: where an answer begins and ends, for every piece, and a verdict."""

    def __init__(self, start: Path | None) -> None:
        super().__init__()
        self.encoder = BertModel.from_pretrained(
            minilm.model_folder(),
            add_pooling_layer=False,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        self.encoder.embeddings.requires_grad_(False)
        self.head = torch.nn.Linear(self.encoder.config.hidden_size, 2)
        self.judge = torch.nn.Linear(self.encoder.config.hidden_size, len(VERDICTS))
        if start:
            weights = {n: torch.tensor(w) for n, w in reader.read_weights(start.read_bytes()).items()}
            heads = {n: weights.pop(n) for n in list(weights) if n.startswith(("head.", "judge."))}
            self.encoder.load_state_dict(weights, strict=False)
            self.load_state_dict(heads, strict=False)

    def forward(self, batch: Sequence[Example]) -> tuple[torch.Tensor, torch.Tensor]:
        """Places, shape (examples, pieces, 2), far below zero where a piece cannot be an answer; and
        verdicts, shape (examples, 3)."""
        length = max(len(e.pieces.ids) for e in batch)

        def padded(rows: Sequence[np.ndarray]) -> torch.Tensor:
            return torch.tensor(np.stack([np.pad(row, (0, length - len(row))) for row in rows]))

        ids, segments = padded([e.pieces.ids for e in batch]), padded([e.pieces.segments for e in batch])
        with torch.autocast("cpu", torch.bfloat16, enabled=torch.cpu._is_avx512_bf16_supported()):
            states = self.encoder(
                input_ids=ids, token_type_ids=segments, attention_mask=(ids != 0).long()
            ).last_hidden_state.float()
        place = torch.arange(length)
        first = torch.tensor([e.pieces.first for e in batch])[:, None]
        last = torch.tensor([len(e.pieces.ids) - 1 for e in batch])[:, None]
        possible = (place == 0) | ((place >= first) & (place < last))
        return self.head(states).masked_fill(~possible[..., None], -1e4), self.judge(states[:, 0])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("squadshifts", type=Path)
    parser.add_argument("trec", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--start", type=Path, help="weights to go on from")
    parser.add_argument("--pairs", type=Path, nargs="*", default=(), help="labelled claims with evidence")
    parser.add_argument("--reading", type=float, default=1.0, help="share of the reading exercises used")
    parser.add_argument(
        "--written", action="store_true", help="use the questions and articles that were written for this"
    )
    parser.add_argument("--mean", action="store_true", help="the mean of the weights before and after")
    parser.add_argument("--rate", type=float, default=1e-4, help="the highest learning rate")
    parser.add_argument("--steps", type=int, help="stop after so many steps of the whole schedule")
    parser.add_argument("--write", action="store_true", help="write the file in kb/")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    by_context = read_squadshifts(args.squadshifts)
    questions = written.read(list(by_context)) if args.written else {}
    stories = archive.read() if args.written else []
    alike = look_alikes(by_context, questions, args.out) if args.reading else {}
    exercises, pairs = Exercises(by_context, alike), pairs_by_question(args.trec)
    judgements = Judgements(by_context, exercises.thesaurus)

    def draw(part: str, name: str) -> list[Example]:
        rng = random.Random(f"{SEED} {args.start} {part} {name}")
        drawn = [*exercises.draw(part, rng), *of_sentences(pairs, part, rng)] if args.reading else []
        if part == "train":
            drawn = rng.sample(drawn, round(args.reading * len(drawn)))
        drawn += written.draw(questions, alike, part, rng)
        drawn += [e for _ in range(2) for e in archive.draw(stories, part, rng)]
        made = [made for one in drawn if (made := example(one)) is not None]
        if args.pairs:
            judged = [*of_pairs(args.pairs, part, rng), *judgements.draw(part, rng)]
            made += [Example(one, reader.pieces(one.claim, one.page)) for one in judged]
        return made

    started = time.time()
    epochs = [draw("train", str(n)) for n in range(args.epochs)]
    count = sum(len(e.pieces.ids) for epoch in epochs for e in epoch)
    print(f"{sum(map(len, epochs))} examples, {count} pieces, {time.time() - started:.0f} s", flush=True)
    steps = [
        batch for n, epoch in enumerate(epochs) for batch in batches(epoch, random.Random(f"{SEED} {n}"))
    ]
    network = train(Network(args.start), steps, args.out, args.steps or len(steps), args.rate)
    if args.mean:
        network = halfway(Network(args.start), network)
    figures = {
        "pieces": count,
        "seconds": round(time.time() - started),
        **measure(network, draw("test", "")),
    }
    print(json.dumps(figures, indent=1))
    (args.out / "figures.json").write_text(json.dumps(figures))
    if args.write:
        weights = {
            name.removeprefix("encoder."): parameter.detach().numpy()
            for name, parameter in network.named_parameters()
            if ".embeddings." not in f".{name}" and (args.pairs or not name.startswith("judge."))
        }
        files = [args.squadshifts, args.trec, *args.pairs]
        files += [args.start] if args.start else []
        files += [written.FILE, archive.FILE] if args.written else []
        about = {
            "data": {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files},
            "seed": SEED,
            "epochs": args.epochs,
            "mean": args.mean,
            "steps": [args.steps or len(steps), len(steps)],
            "figures": figures,
        }
        name = reader.JUDGE_FILE_NAME if args.pairs else reader.FILE_NAME
        reader.write_weights(Path(reader.__file__).with_name(name), weights, about)


def look_alikes(
    by_context: Mapping[str, Sequence[Row]], questions: Mapping[str, Sequence[Written]], out: Path
) -> dict[str, list[str]]:
    """For each question about Wikipedia, by its text, the paragraphs that our own retrieval ranks highest;
    kept in ``out``."""
    kept = out / "alike.pickle"
    if kept.exists():
        found: dict[str, list[str]] = pickle.loads(kept.read_bytes())
        return found
    contexts = sorted(by_context)
    about_wikipedia = [r for rows in by_context.values() for r in rows if r["domain"] == WIKIPEDIA]
    asked = [str(row["question"]).strip() for row in about_wikipedia]
    asked += [one.question for several in questions.values() for one in several if one.answers]
    with Store.open(out / "kb", load_settings(), create=True) as store:
        fill(store, contexts)
        found = {}
        for text in dict.fromkeys(asked):
            question = analyse(text)
            hits, _ = search(store, question.search_text, question.words, limit=12)
            found[text] = [contexts[int(h.passage.document_id[1:])] for h in hits]
    kept.write_bytes(pickle.dumps(found))
    return found


def example(exercise: Exercise) -> Example | None:
    """The exercise in word pieces; ``None`` if its answer was cut off."""
    given = reader.pieces(exercise.question, exercise.page)
    begins, ends = [], []
    for start, end in exercise.answers:
        (inside,) = np.nonzero((given.offsets[:, 1] > start) & (given.offsets[:, 0] < end))
        if len(inside):
            places = inside + given.first
            begins += [int(places[0])] if exercise.exact else [int(p) for p in places]
            ends += [int(places[-1])] if exercise.exact else [int(p) for p in places]
    if exercise.answers and not begins:
        return None
    return Example(exercise, given, tuple(begins) or (0,), tuple(ends) or (0,))


def batches(examples: Sequence[Example], rng: random.Random) -> list[list[Example]]:
    """Examples of about equal length together, ``BATCH_PIECES`` at most, in random order."""
    made: list[list[Example]] = [[]]
    for one in sorted(examples, key=lambda e: (e.verdict is None, len(e.pieces.ids) + rng.random() * 12)):
        longest = max((len(e.pieces.ids) for e in (*made[-1][-1:], one)), default=0)
        mixed = any((e.verdict is None) != (one.verdict is None) for e in made[-1][-1:])
        if made[-1] and (mixed or (len(made[-1]) + 1) * longest > BATCH_PIECES):
            made.append([])
        made[-1].append(one)
    rng.shuffle(made)
    return made


def loss_of(network: Network, batch: Sequence[Example]) -> torch.Tensor:
    """How unlikely what is right is, in nats, averaged over examples (and over beginning and end)."""
    places, verdicts = network(batch)
    if batch[0].verdict is not None:
        return torch.nn.functional.cross_entropy(verdicts, torch.tensor([e.verdict for e in batch]))
    right = torch.full_like(places, -1e4)
    for n, one in enumerate(batch):
        right[n, list(one.begins), 0] = 0
        right[n, list(one.ends), 1] = 0
    return (places.logsumexp(1) - (places + right).logsumexp(1)).mean()


def train(network: Network, steps: Sequence[list[Example]], out: Path, last: int, rate: float) -> Network:
    """Train up to step ``last``, from the checkpoint in ``out`` if there is one."""
    torch.manual_seed(SEED)
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01, fused=True)
    warm = max(1, len(steps) // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda n: min(1.0, n / warm) * max(0.0, 1 - n / len(steps))
    )
    parts = {"network": network, "optimizer": optimizer, "schedule": schedule}
    checkpoint, first = out / "checkpoint.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        first = state["step"]
        for name, part in parts.items():
            part.load_state_dict(state[name])
    started, running = time.time(), {True: 0.0, False: 0.0}
    network.train()
    for n in range(first, last):
        loss = loss_of(network, steps[n])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        reading = steps[n][0].verdict is None
        running[reading] += (loss.item() - running[reading]) / min(n - first + 1, 100)
        if (n + 1) % 50 == 0:
            left = (time.time() - started) / (n + 1 - first) * (last - n - 1)
            print(
                f"step {n + 1}/{len(steps)} reading {running[True]:.4f} judging {running[False]:.4f} "
                f"left {left / 60:.1f} min",
                flush=True,
            )
        if (n + 1) % 200 == 0 or n + 1 == last:
            torch.save(
                {"step": n + 1, **{name: part.state_dict() for name, part in parts.items()}}, checkpoint
            )
    return network.eval()


@torch.no_grad()
def halfway(before: Network, after: Network) -> Network:
    """``after`` with the mean of both weights (Wortsman et al., "Robust fine-tuning of zero-shot models",
    CVPR 2022)."""
    for one, other in zip(after.parameters(), before.parameters(), strict=True):
        one.lerp_(other, 0.5)
    return after


# Exercises some of which have an answer and others none.
_WITH_BOTH = ("asked", "news", "plain", "searched", "open", "several", "archive", "archive several")


@torch.no_grad()
def measure(network: Network, examples: Sequence[Example]) -> dict[str, object]:
    """On paragraphs that were not trained on, how often the answer is found where there is one, how well
    pages with and without an answer are told apart (area under the curve), and how many verdicts are right;
    for each kind."""
    scores, found, verdicts = {}, {}, {}
    for batch in batches(examples, random.Random(SEED)):
        places, judged = network(batch)
        for one, row, verdict in zip(batch, places, judged, strict=True):
            relative = row - row[0]
            scores[id(one)] = float(relative[1:].logsumexp(0).mean())
            place = 1 + int(relative[1:, 0].argmax())
            found[id(one)] = min(one.begins, default=0) <= place <= max(one.ends, default=0)
            verdicts[id(one)] = int(verdict.argmax())
    figures: dict[str, object] = {}
    read = [e for e in examples if isinstance(e.exercise, Exercise)]
    answered = [e for e in read if e.exercise.kind == "asked"]
    if answered:
        figures["found"] = round(float(np.mean([found[id(e)] for e in answered])), 3)
    for kind in sorted({e.exercise.kind for e in read}):
        part = [e for e in read if e.exercise.kind == kind]
        part += [] if kind in _WITH_BOTH else answered
        labels = [isinstance(e.exercise, Exercise) and bool(e.exercise.answers) for e in part]
        if len(set(labels)) == 2:
            figures[f"auc {kind}"] = round(float(roc_auc_score(labels, [scores[id(e)] for e in part])), 3)
    for kind in sorted({e.exercise.kind for e in examples if e.verdict is not None}):
        part = [e for e in examples if e.verdict is not None and e.exercise.kind == kind]
        figures[f"right {kind}"] = round(float(np.mean([verdicts[id(e)] == e.verdict for e in part])), 3)
    return figures


if __name__ == "__main__":
    main()
