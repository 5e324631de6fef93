"""The causal language model: fits, continuations, scores, and refusals of what does not match."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordLevel
from transformers import LlamaForCausalLM

from collapse_lab.engine.selection import Times
from collapse_lab.engine.silent import Silent
from collapse_lab.errors import Diverged, UserError
from collapse_lab.models.causal_lm import CausalLM
from collapse_lab.nn.optimisation import Optimisation
from collapse_lab.seeds import Seeds
from collapse_lab.texts.tokenizer import Tokenizer, tokenizer
from collapse_lab.types import Budget, Conditions, Samples, Spec
from tests.texts.tiny_checkpoint import write_checkpoint

BLOCK, SIZE = 8, 12
SMALL: dict[str, Any] = {"width": 16, "layers": 1, "heads": 2}
FASTER = Optimisation(lr=0.01, lr_schedule="cosine", weight_decay=0.01, warmup=0.05)
PLACE = Seeds(0, 0, "model", "sample")


def words() -> Backend:
    return Backend(WordLevel({"<end>": 0, **{f"w{i}": i for i in range(1, SIZE)}}, unk_token="<end>"))


def spec() -> Spec:
    return Spec("tokens", (BLOCK,), tokens=Tokenizer(words(), 0).tokens)


def counting(n: int = 64) -> Samples:
    """Return blocks that count upwards from random starts, modulo the vocabulary."""
    start = torch.randint(0, SIZE, (n, 1), generator=torch.Generator().manual_seed(0))
    return Samples((start + torch.arange(BLOCK)) % SIZE, np.full(n, -1))


def built(**arguments: Any) -> CausalLM:
    with Seeds(0, 0, "model", "fit").child("init").scoped():
        return CausalLM(spec(), **{**SMALL, "optimisation": FASTER, **arguments})


def fitted(steps: int = 150, **arguments: Any) -> CausalLM:
    model = built(**arguments)
    model.fit(counting(), Budget(steps, 16), Seeds(0, 0, "model", "fit"), Silent())
    return model


def continuing(n: int = 10) -> Conditions:
    rows = counting(n)
    return Conditions(rows.labels, rows.captions, rows.data)


@pytest.mark.parametrize("architecture", ["gpt2", "opt", "llama"])
def test_a_fitted_model_continues_to_count(architecture: str) -> None:
    model, conditions = fitted(architecture=architecture), continuing()
    assert conditions.context is not None
    expected = (conditions.context[:][:, -1:] + 1 + torch.arange(BLOCK)) % SIZE
    continued = model.sample(conditions, PLACE, Silent()).data
    # The second of two blocks lies at positions that no block of training has, so only its first token is learnt
    assert (continued[:, :1] == expected[:, :1]).all()
    assert model.token_nlls(counting()).mean() < built(architecture=architecture).token_nlls(counting()).mean() / 4


def test_the_nll_is_minus_the_logarithm_of_the_softmax() -> None:
    model, rows = built(), counting(5)
    logits = model.net(rows.data).logits
    exact = -logits.log_softmax(-1)[:, :-1].gather(-1, rows.data[:, 1:, None])[..., 0]
    torch.testing.assert_close(model.token_nlls(rows), exact)


def test_samples_do_not_depend_on_the_batch_size() -> None:
    for decoding in ({"num_beams": 3}, {"num_beams": 1, "do_sample": True}):
        one_batch, four_batches = (
            built(**decoding, sampling_batch=size).sample(continuing(), PLACE, Silent()) for size in (10, 3)
        )
        assert torch.equal(one_batch.data, four_batches.data)


def test_the_weights_do_not_depend_on_the_decoding() -> None:
    assert set(built().weights()) == set(built(num_beams=1, do_sample=True, temperature=0.5).weights())
    assert "transformer.wte.weight" in built().weights()
    assert "lm_head.weight" not in built().weights()  # because it is the embedding's weight


def noise(n: int, seed: int) -> Samples:
    """Return blocks of random tokens, on which a model that learns another set of them only grows worse."""
    return Samples(torch.randint(0, SIZE, (n, BLOCK), generator=torch.Generator().manual_seed(seed)), np.full(n, -1))


def chosen(steps: int, **arguments: Any) -> tuple[CausalLM, float]:
    """Return a model fitted to random blocks, with dropout, and its loss on other random blocks."""
    model, rows = built(dropout=0.1, **arguments), noise(32, 1)
    model.validate_on(rows)
    model.fit(noise(24, 0), Budget(steps, 8), Seeds(0, 0, "model", "fit"), Silent())
    return model, float(model.token_nlls(rows).double().mean())


def same_weights(a: CausalLM, b: CausalLM) -> bool:
    return all(torch.equal(value, b.weights()[name]) for name, value in a.weights().items())


def test_the_best_weights_have_the_smallest_validation_loss_of_all_looks() -> None:
    # A constant rate, so that a fit of fewer steps has the weights that a longer one passes through
    flat = Optimisation(lr=0.01, lr_schedule="constant", weight_decay=0.01, warmup=0.0)
    passed = {steps: chosen(steps, optimisation=flat) for steps in (3, 6, 9, 12, 15, 18, 21)}
    losses = {steps: loss for steps, (_, loss) in passed.items()}
    first = min(losses, key=lambda steps: losses[steps])
    assert first < 21, "the last weights are the best, so the test cannot tell them apart"
    model, loss = chosen(21, optimisation=flat, selection="best")
    assert loss == losses[first]
    assert same_weights(model, passed[first][0])
    # The looks change neither the weights that the fit passes through nor its random numbers
    later, _ = chosen(21, optimisation=flat, selection="best", validate_every=21)
    assert same_weights(later, passed[21][0])


def test_weights_are_looked_at_once_an_epoch_or_every_so_many_steps_and_at_the_end() -> None:
    budget = Budget(10, 8)
    assert [step for step in range(1, 11) if Times(None, 24, budget).due(step)] == [3, 6, 9, 10]
    assert [step for step in range(1, 11) if Times(None, 20, budget).due(step)] == [3, 5, 8, 10]
    assert [step for step in range(1, 4) if Times(None, 5, Budget(3, 8)).due(step)] == [1, 2, 3]
    assert [step for step in range(1, 11) if Times(4, 24, budget).due(step)] == [4, 8, 10]


def test_a_fit_whose_validation_loss_is_never_a_number_diverges() -> None:
    model = built(selection="best")
    model.validate_on(counting())
    model._validation_loss = lambda: math.nan  # type: ignore[method-assign]
    with pytest.raises(Diverged, match="no loss on the validation rows was a finite number"):
        model.fit(counting(), Budget(3, 16), Seeds(0, 0, "model", "fit"), Silent())


def saved(folder: Path, positions: int = 64) -> Path:
    return write_checkpoint(folder, Tokenizer(words(), 0), positions)


def of(folder: Path) -> Spec:
    """Return the spec of a data set with the tokenizer of a checkpoint."""
    return Spec("tokens", (BLOCK,), tokens=tokenizer(str(folder), 0, (), str(folder)).tokens)


def test_a_pretrained_model_starts_from_its_weights(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model")
    model = CausalLM(of(folder), pretrained=str(folder), root=str(tmp_path))
    theirs = LlamaForCausalLM.from_pretrained(folder)
    rows = counting(4).data
    torch.testing.assert_close(model.net(rows).logits, theirs(rows).logits)
    model.fit(counting(), Budget(3, 8), Seeds(0, 0, "model", "fit"), Silent())
    assert not torch.equal(model.net(rows).logits, theirs(rows).logits)


def test_another_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"give dataset\.tokenizer=.*, or model\.read_as=text"):
        CausalLM(spec(), pretrained=str(saved(tmp_path / "model")), root=str(tmp_path))


def test_blocks_beyond_the_positions_are_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", positions=12)
    with pytest.raises(UserError, match=r"dataset\.block=6 or less"):
        CausalLM(of(folder), pretrained=str(folder), root=str(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 15}, "model.heads times"),
        ({"architecture": "llama", "width": 6}, "which is even for llama; got width=6, heads=2"),
        ({"do_sample": True}, "give model.num_beams=1, not 5"),
        ({"temperature": 0.5}, "model.do_sample=true"),
        ({"top_p": 0.5}, "model.do_sample=true"),
        ({"validate_every": 5}, "give model.selection=best, or model.validate_every=null"),
        (
            {"optimisation": replace(FASTER, ema_decay=0.9)},
            "no moving average.*ema_decay is 0.9; give .*ema_decay=null",
        ),
    ],
    ids=str,
)
def test_arguments_that_contradict_each_other_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        built(**arguments)


def test_a_data_set_of_images_is_refused() -> None:
    with pytest.raises(UserError, match="dataset=python_docs"):
        CausalLM(Spec("image", (1, 8, 8)))


def test_conditions_without_a_context_are_refused() -> None:
    with pytest.raises(UserError, match="prompts=continuation"):
        built().sample(Conditions(np.full(2, -1), counting().captions), PLACE, Silent())
