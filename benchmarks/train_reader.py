"""Train the reader: a small cross-encoder that says how well a sentence answers a question.

    python -m benchmarks.train_reader ASKED.pkl OUT_FOLDER [--epochs 2] [--write]

ASKED.pkl is what ``benchmarks.asked`` makes (see ``python -m benchmarks.asked --help``). The encoder starts
from the packaged MiniLM weights with the embedding tables frozen, so that only the encoder layers have to
be shipped; a linear head reads the first piece. Pairs are the right sentence and the wrong ones that the
features in ``kb/extract.py`` rank highest; after a change of the question that makes it unanswerable, the
sentence that was right is the hardest wrong one. A tenth of the paragraphs is held out for the figures,
another tenth for fitting what comes after (``benchmarks.fit_extract``). Resumable: a checkpoint is written
every 200 steps.
"""

from __future__ import annotations

import argparse
import json
import pickle
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from transformers import BertModel

from benchmarks.asked import SEED, Asked, held_out
from benchmarks.fit_extract import fit_order
from kb import extract, minilm, reader

BATCH_TOKENS = 4096
LEARNING_RATE = 6e-5


@dataclass(frozen=True, slots=True)
class Pair:
    """One sentence under one question, as word pieces, and whether it answers."""

    pieces: tuple[int, ...]
    label: float
    variant: str


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("asked", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--start", type=Path, help="checkpoint of an earlier run whose weights to start from")
    parser.add_argument("--write", action="store_true", help=f"write kb/{reader.FILE_NAME}")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    with args.asked.open("rb") as file:
        asked: list[Asked] = pickle.load(file)
    order = fit_order([(a.rows, a.right) for a in asked if held_out(a.group) == "train"])
    pairs = {
        part: [p for a in asked if held_out(a.group) == part for p in pairs_of(a, order)]
        for part in ("train", "test")
    }
    print(
        {part: len(p) for part, p in pairs.items()},
        sum(len(p.pieces) for p in pairs["train"]),
        "pieces",
        flush=True,
    )
    model, head = train(pairs["train"], args.out, args.epochs, args.start)
    figures = measure(model, head, pairs["test"])
    print(json.dumps(figures, indent=1))
    (args.out / "figures.json").write_text(json.dumps(figures))
    if args.write:
        weights = {
            name: p.detach().numpy() for name, p in model.named_parameters() if name.startswith("encoder.")
        }
        weights |= {"head.weight": head.weight.detach().numpy(), "head.bias": head.bias.detach().numpy()}
        reader.write_weights(Path(reader.__file__).with_name(reader.FILE_NAME), weights)


def pairs_of(asked: Asked, order: np.ndarray) -> list[Pair]:
    """The pairs that a question gives: its right sentences and the best of the wrong ones."""
    ranked = [asked.found[i] for i in np.argsort(-(asked.rows @ order), kind="stable")]
    right = {id(c) for c, ok in zip(asked.found, asked.right, strict=True) if ok}
    wrong = [c for c in ranked if id(c) not in right]
    wanted = {"asked": 2, "compound": 1, "removed": 1, "altered": 1}[asked.variant]
    if asked.variant in ("asked", "compound") and not right:
        return []
    chosen = [(c, 1.0) for c in ranked if id(c) in right][:2] + [(c, 0.0) for c in wrong[:wanted]]
    rows = reader.pieces(asked.question.search_text, [extract.line_of(c) for c, _ in chosen])
    return [Pair(tuple(row), label, asked.variant) for row, (_, label) in zip(rows, chosen, strict=True)]


def batches(pairs: Sequence[Pair], rng: random.Random | None) -> list[list[Pair]]:
    """Pairs of about equal length together, ``BATCH_TOKENS`` pieces at most; shuffled if ``rng`` is given."""
    ordered = sorted(pairs, key=lambda p: len(p.pieces) + (rng.random() * 16 if rng else 0))
    made: list[list[Pair]] = [[]]
    for pair in ordered:
        if made[-1] and (len(made[-1]) + 1) * max(len(p.pieces) for p in (made[-1][-1], pair)) > BATCH_TOKENS:
            made.append([])
        made[-1].append(pair)
    if rng:
        rng.shuffle(made)
    return made


def logits(model: BertModel, head: torch.nn.Linear, batch: Sequence[Pair]) -> torch.Tensor:
    length = max(len(p.pieces) for p in batch)
    ids = torch.tensor([[*p.pieces, *[0] * (length - len(p.pieces))] for p in batch])
    with torch.autocast("cpu", torch.bfloat16):
        states = model(input_ids=ids, attention_mask=(ids != 0).long()).last_hidden_state
    return head(states[:, 0].float()).squeeze(-1)


def train(
    pairs: Sequence[Pair], out: Path, epochs: int, start: Path | None = None
) -> tuple[BertModel, torch.nn.Linear]:
    model = BertModel.from_pretrained(minilm.model_folder(), add_pooling_layer=False)
    model.embeddings.requires_grad_(False)
    head = torch.nn.Linear(model.config.hidden_size, 1)
    if start is not None:
        state = torch.load(start, weights_only=True)
        model.load_state_dict(state["model"])
        head.load_state_dict(state["head"])
    steps = [
        batch
        for epoch in range(epochs)
        for batch in batches(pairs, random.Random(f"{SEED} {out.name} {epoch}"))
    ]
    parameters = [*(p for p in model.parameters() if p.requires_grad), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.01, fused=True)
    warm = max(1, len(steps) // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda n: min(1.0, n / warm) * max(0.0, 1 - n / len(steps))
    )
    checkpoint, first = out / "checkpoint.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        first = state["step"]
        model.load_state_dict(state["model"])
        head.load_state_dict(state["head"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
    started, running = time.time(), 0.0
    model.train()
    for n in range(first, len(steps)):
        labels = torch.tensor([p.label for p in steps[n]])
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits(model, head, steps[n]), labels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        running += (loss.item() - running) / min(n - first + 1, 100)
        if (n + 1) % 50 == 0:
            left = (time.time() - started) / (n + 1 - first) * (len(steps) - n - 1)
            print(f"step {n + 1}/{len(steps)} loss {running:.4f} left {left / 60:.1f} min", flush=True)
        if (n + 1) % 200 == 0 or n + 1 == len(steps):
            state = {"step": n + 1, "model": model.state_dict(), "head": head.state_dict()}
            torch.save(
                {**state, "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}, checkpoint
            )
    return model.eval(), head


@torch.no_grad()
def measure(model: BertModel, head: torch.nn.Linear, pairs: Sequence[Pair]) -> dict[str, float]:
    """How well right and wrong pairs are told apart on the held-out paragraphs (area under the curve)."""
    found = [
        (float(z), p)
        for batch in batches(pairs, None)
        for z, p in zip(logits(model, head, batch), batch, strict=True)
    ]
    figures = {}
    for variant in ("asked", "compound", "removed", "altered"):
        part = [
            (z, p.label) for z, p in found if p.variant == variant or (p.variant == "asked" and p.label == 1)
        ]
        figures[f"auc_{variant}"] = round(float(roc_auc_score([y for _, y in part], [z for z, _ in part])), 4)
    return figures


if __name__ == "__main__":
    main()
