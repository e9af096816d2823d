"""What training does beside training."""

from __future__ import annotations

import torch

from benchmarks.train_reader import halfway


def test_the_mean_lies_halfway_between_the_weights_before_and_after() -> None:
    before, after = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    with torch.no_grad():
        for one, weight, bias in ((before, [1.0, 2.0], 3.0), (after, [3.0, 0.0], 4.0)):
            one.weight.copy_(torch.tensor([weight]))
            one.bias.fill_(bias)
    mean = halfway(before, after)  # type: ignore[arg-type]
    assert mean.weight.tolist() == [[2.0, 1.0]]  # type: ignore[union-attr]
    assert mean.bias.item() == 3.5  # type: ignore[operator, union-attr]
    assert before.weight.tolist() == [[1.0, 2.0]]
