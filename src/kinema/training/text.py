"""Training of the text encoder before there is a picture: captions alone, to say which attributes they name.

A transformer that learns from pixels passes the text encoder a weak signal: after 39,000 clips its tokens still didn't tell colours
apart. Captions cost nothing to make, and their scenes say what they mean; minutes of this make every attribute plain to read.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from kinema.core.progress import CancelToken, Observer, ignore_progress
from kinema.data.load.seeds import derive_seed, generator
from kinema.models.text.byte_encoder import ByteTextEncoder, ByteTextEncoderConfig, tokenize
from kinema.training.loop import Loop, LoopRecipe, Outcome, averaged, facts_of_latest
from kinema.training.speed import Dtype, autocast, measured_facts
from kinema.world.captions import LANGUAGES, caption
from kinema.world.sampler import attributes, sample
from kinema.world.words import vocabulary

TEXT, READERS = "text_encoder", "readers"
UNSAID = "-"
# the attributes that a scene is asked for; words of others (such as clothes) only go with them
_ATTRIBUTES = ("kind", "colour", "action", "direction", "place", "time", "camera")
_NUM_SEEDS = 1 << 31


@dataclass(frozen=True, kw_only=True)
class TextRecipe:
    """Everything that decides what a text encoder becomes. ``dense`` is the share of long captions."""

    config: ByteTextEncoderConfig
    loop: LoopRecipe
    batch: int = 128
    dense: float = 0.1
    dtype: Dtype | Literal["auto"] = "auto"
    validation_texts: int = 1024


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Captions and for each attribute the number of the value that each names (0: it names none)."""

    step: int
    texts: Sequence[str]
    labels: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(self.texts)


class Captions:
    """Batches of captions of random scenes: number ``step`` is the same, whatever came before."""

    def __init__(self, recipe: TextRecipe, *, split: str = "train") -> None:
        self.recipe, self.split = recipe, split
        words = {name: values for name, values in vocabulary().items() if name in _ATTRIBUTES}
        self.words = {n: {v: [w.lower() for w in ws] for v, ws in values.items()} for n, values in words.items()}
        self.values = {name: (UNSAID, *values) for name, values in words.items()}

    def batch(self, step: int, *, size: int | None = None) -> Texts:
        """Batch number ``step``."""
        rng = generator(derive_seed(self.recipe.loop.seed, "captions", self.split, step))
        texts: list[str] = []
        labels: dict[str, list[int]] = {name: [] for name in self.values}
        for _ in range(size or self.recipe.batch):
            seed, wording, language = (int(x) for x in torch.randint(_NUM_SEEDS, (3,), generator=rng))
            scene = sample(seed, split=self.split)
            form = "dense" if float(torch.rand((), generator=rng)) < self.recipe.dense else "short"
            texts.append(caption(scene, language=LANGUAGES[language % len(LANGUAGES)], form=form, seed=wording))
            text, truth = texts[-1].lower(), attributes(scene)
            for name, values in self.values.items():
                is_said = any(word in text for word in self.words[name][truth[name]])
                labels[name].append(values.index(truth[name]) if is_said else 0)
        return Texts(step=step, texts=texts, labels={name: torch.tensor(x) for name, x in labels.items()})

    def from_step(self, step: int) -> Generator[Texts, None, None]:
        """All batches from number ``step`` on."""
        while True:
            yield self.batch(step)
            step += 1


class Readers(nn.Module):
    """Linear readers of every attribute, one from all tokens and one from the pooled vector: what training asks, not shipped."""

    def __init__(self, config: ByteTextEncoderConfig, values: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        wide = config.num_tokens * config.width
        self.of_tokens = nn.ModuleDict({name: nn.Linear(wide, len(v)) for name, v in values.items()})
        self.of_pooled = nn.ModuleDict({name: nn.Linear(config.pooled_dim, len(v)) for name, v in values.items()})

    def init_weights(self) -> None:
        """Begins undecided."""
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(
        self, tokens: Float[Tensor, "b m d"], pooled: Float[Tensor, "b p"]
    ) -> dict[str, tuple[Float[Tensor, "b v1"], Float[Tensor, "b v1"]]]:
        """Two logits for each attribute."""
        flat = tokens.flatten(1)
        return {name: (self.of_tokens[name](flat), self.of_pooled[name](pooled)) for name in self.of_tokens}


class TextTask:
    """A `Task`: reads the attributes that captions name."""

    def __init__(self, recipe: TextRecipe, *, device: str = "cpu", known: Mapping[str, Any] | None = None) -> None:
        self.recipe, self.device = recipe, torch.device(device)
        self.loader = Captions(recipe)
        self.encoder, self.readers = ByteTextEncoder(recipe.config), Readers(recipe.config, self.loader.values)
        self.encoder.init_weights(generator(recipe.loop.seed, TEXT))
        self.readers.init_weights()
        self.modules: dict[str, nn.Module] = {TEXT: self.encoder.to(self.device), READERS: self.readers.to(self.device)}
        self.facts = measured_facts(self._try, self.device, wanted=recipe.dtype, known=known)

    def loss(self, batch: Texts) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The sum of the cross-entropies of all attributes."""
        return self._loss(batch, self.facts["dtype"])

    @torch.no_grad()
    def validate(self, step: int) -> Mapping[str, float]:
        """The share of right values among those that held-out captions name, per attribute, read from the tokens."""
        texts = Captions(self.recipe, split="validation").batch(0, size=self.recipe.validation_texts)
        shares = {}
        for name, (logits, _) in self._read(texts, self.facts["dtype"]).items():
            wanted = texts.labels[name].to(self.device)
            is_right = (logits[:, 1:].argmax(1) + 1 == wanted)[wanted > 0]
            shares[f"{name}_accuracy"] = float(is_right.float().mean())
        return {"score": sum(shares.values()) / len(shares), **shares}

    def work(self, batch: Texts) -> Mapping[str, float]:
        """Captions of one step."""
        return {"samples": len(batch)}

    def _read(self, batch: Texts, dtype: Dtype) -> dict[str, tuple[Tensor, Tensor]]:
        ids, mask = tokenize(batch.texts)
        with autocast(self.device, dtype):
            tokens, _, pooled = self.encoder(ids.to(self.device), mask.to(self.device))
        return self.readers(tokens.float(), pooled.float())

    def _loss(self, batch: Texts, dtype: Dtype) -> tuple[Tensor, Mapping[str, Tensor]]:
        losses = {}
        for name, logits in self._read(batch, dtype).items():
            wanted = batch.labels[name].to(self.device)
            losses[name] = torch.stack([F.cross_entropy(one, wanted) for one in logits]).sum()
        return torch.stack([*losses.values()]).sum(), {f"{k}_loss": v.detach() for k, v in losses.items()}

    def _try(self, dtype: Dtype) -> None:
        """One forward and backward pass that leaves no trace."""
        self._loss(self.loader.batch(0), dtype)[0].backward()
        for module in self.modules.values():
            module.zero_grad(set_to_none=True)


def train_text(
    recipe: TextRecipe, *, folder: Path, device: str = "cpu", observer: Observer = ignore_progress,
    cancel: CancelToken | None = None,
) -> Outcome:  # fmt: skip
    """Trains in ``folder`` to the end of the recipe's budget, going on from the newest checkpoint there.

    Raises: Cancelled after a checkpoint; TrainingError for a checkpoint of another recipe.
    """
    task = TextTask(recipe, device=device, known=facts_of_latest(folder))
    identity = {"model": asdict(recipe.config), "batch": recipe.batch, "dense": recipe.dense}
    return Loop(task, recipe.loop, folder, identity=identity).run(observer=observer, cancel=cancel)


def trained_text(folder: Path) -> dict[str, Tensor]:
    """The averaged weights of the encoder in the newest checkpoint of ``folder``. Raises: TrainingError if there is none."""
    return averaged(folder, TEXT)
