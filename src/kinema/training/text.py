"""Training of the text encoder before there is a picture: captions alone, to say which attributes they name.

A transformer that learns from pixels passes the text encoder a weak signal: after 39,000 clips its tokens still didn't tell colours
apart. Captions cost nothing to make, and their scenes say what they mean; minutes of this make every attribute plain to read.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Mapping, Sequence
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
from kinema.world.relations import OPPOSITE, relations
from kinema.world.sampler import DIFFICULTIES, attributes, sample
from kinema.world.scene import Scene
from kinema.world.words import vocabulary

TEXT, READERS = "text_encoder", "readers"
UNSAID = "-"
# the attributes that a scene is asked for, and those that each of its subjects is; words of others (such as clothes) only go with them
_OF_SUBJECTS = ("kind", "colour", "material", "action", "direction")
_OF_SCENES = ("place", "time", "weather", "camera", "style", "relation")
_COUNT = "count"
# What holds the words of another attribute ("the camera pans left", "to the left of it"): taken out before that one is looked for.
_HIDES = {"direction": ("camera", "relation")}
# "big" and "small" stand in many a Chinese word; compared to something they follow this one
_COMPARED = {word: f"比[^，。]*{word}" for word in "大小"}
_NUM_SEEDS = 1 << 31


@dataclass(frozen=True, kw_only=True)
class TextRecipe:
    """Everything that decides what a text encoder becomes.

    ``dense`` and ``full`` are the shares of these captions, the others are short; ``difficulty`` is the scenes' level.
    """

    config: ByteTextEncoderConfig
    loop: LoopRecipe
    batch: int = 128
    dense: float = 0.1
    full: float = 0.3
    difficulty: str = "full"
    dtype: Dtype | Literal["auto"] = "auto"
    validation_texts: int = 1024


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Captions, and for each label of `Captions.values` the number of the value that each names (0: it names none)."""

    step: int
    texts: Sequence[str]
    labels: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(self.texts)


class Captions:
    """Batches of captions of random scenes: number ``step`` is the same, whatever came before.

    ``values`` maps each label to what it may say: kind_1, colour_1 ... of the first subject, kind_2 ... of the second, as many as the
    level shows at once; how many there are (``count``); then what the whole scene is asked for.
    """

    def __init__(self, recipe: TextRecipe, *, split: str = "train") -> None:
        self.recipe, self.split = recipe, split
        level, known = DIFFICULTIES[recipe.difficulty], vocabulary()
        self.num_subjects = max(*level.counts, 2 if level.pairs else 1)
        self.words = {n: {v: _lower(words) for v, words in known[n].items()} for n in (*_OF_SUBJECTS, *_OF_SCENES)}
        self._said = {n: {v: _pattern(words) for v, words in values.items()} for n, values in self.words.items()}
        self.values = {
            f"{name}_{number}": (UNSAID, *known[name])
            for number in range(1, self.num_subjects + 1)
            for name in _OF_SUBJECTS
        }
        self.values[_COUNT] = (UNSAID, *(str(n) for n in range(1, self.num_subjects + 1)))
        self.values |= {name: (UNSAID, *known[name]) for name in _OF_SCENES}

    def batch(self, step: int, *, size: int | None = None) -> Texts:
        """Batch number ``step``."""
        rng = generator(derive_seed(self.recipe.loop.seed, "captions", self.split, step))
        texts: list[str] = []
        labels: dict[str, list[int]] = {name: [] for name in self.values}
        for _ in range(size or self.recipe.batch):
            seed, wording, language = (int(x) for x in torch.randint(_NUM_SEEDS, (3,), generator=rng))
            scene = sample(seed, split=self.split, difficulty=self.recipe.difficulty)
            kind = float(torch.rand((), generator=rng))
            form = (
                "dense"
                if kind < self.recipe.dense
                else "full"
                if kind < self.recipe.dense + self.recipe.full
                else "short"
            )
            texts.append(caption(scene, language=LANGUAGES[language % len(LANGUAGES)], form=form, seed=wording))
            named = self.named(scene, texts[-1])
            for name, values in self.values.items():
                labels[name].append(values.index(named[name]) if name in named else 0)
        return Texts(step=step, texts=texts, labels={name: torch.tensor(x) for name, x in labels.items()})

    def named(self, scene: Scene, text: str) -> dict[str, str]:
        """Label -> value, of what ``text`` says of ``scene``. Which subject a word is said of isn't parsed: its truth decides."""
        text, found = text.lower(), {_COUNT: str(len(scene.subjects))}
        truth = attributes(scene)
        found |= {n: truth[n] for n in _OF_SCENES if n in truth and self._said[n][truth[n]].search(text)}
        for relation in relations(scene):
            if "relation" not in found and self._said["relation"][relation.name].search(text):
                is_forward = relation.subject < relation.other
                found["relation"] = relation.name if is_forward else OPPOSITE[relation.name]
        hidden = {
            n: "|".join(p.pattern for o in others for p in self._hiding(scene, o)) for n, others in _HIDES.items()
        }
        for number in range(len(scene.subjects)):
            for name, value in attributes(scene, number).items():
                if name not in _OF_SUBJECTS:
                    continue
                where = re.sub(hidden[name], " ", text) if hidden.get(name) else text
                if self._said[name][value].search(where):
                    found[f"{name}_{number + 1}"] = value
        return found

    def _hiding(self, scene: Scene, name: str) -> Iterable[re.Pattern[str]]:
        """The patterns of what ``scene`` may have said of ``name``."""
        values = {r.name for r in relations(scene)} if name == "relation" else {attributes(scene)[name]}
        return [self._said[name][value] for value in sorted(values)]

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

    def __init__(
        self, recipe: TextRecipe, *, device: str = "cpu", known: Mapping[str, Any] | None = None,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:  # fmt: skip
        self.recipe, self.device = recipe, torch.device(device)
        self.loader = Captions(recipe)
        self.encoder, self.readers = ByteTextEncoder(recipe.config), Readers(recipe.config, self.loader.values)
        self.encoder.init_weights(generator(recipe.loop.seed, TEXT))
        self.readers.init_weights()
        if start is not None:
            self.encoder.load_state_dict(start)
        self.modules: dict[str, nn.Module] = {TEXT: self.encoder.to(self.device), READERS: self.readers.to(self.device)}
        self.facts = measured_facts(self._try, self.device, wanted=recipe.dtype, known=known)

    def loss(self, batch: Texts) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The sum of the cross-entropies of all attributes."""
        return self._loss(batch, self.facts["dtype"])

    @torch.no_grad()
    def validate(self, step: int) -> Mapping[str, float]:
        """The share of right values among those that held-out captions name, per label that any names, read from the tokens."""
        texts = Captions(self.recipe, split="validation").batch(0, size=self.recipe.validation_texts)
        shares = {}
        for name, (logits, _) in self._read(texts, self.facts["dtype"]).items():
            wanted = texts.labels[name].to(self.device)
            if (wanted > 0).any():
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
    recipe: TextRecipe, *, folder: Path, device: str = "cpu", start: Mapping[str, Tensor] | None = None,
    observer: Observer = ignore_progress, cancel: CancelToken | None = None,
) -> Outcome:  # fmt: skip
    """Trains in ``folder`` to the end of the recipe's budget, going on from the newest checkpoint there; a new run begins at ``start``.

    Raises: Cancelled after a checkpoint; TrainingError for a checkpoint of another recipe.
    """
    task = TextTask(recipe, device=device, known=facts_of_latest(folder), start=start)
    identity = {
        "model": asdict(recipe.config),
        "batch": recipe.batch,
        "dense": recipe.dense,
        "full": recipe.full,
        "difficulty": recipe.difficulty,
    }
    return Loop(task, recipe.loop, folder, identity=identity).run(observer=observer, cancel=cancel)


def trained_text(folder: Path) -> dict[str, Tensor]:
    """The averaged weights of the encoder in the newest checkpoint of ``folder``. Raises: TrainingError if there is none."""
    return averaged(folder, TEXT)


def _lower(words: Iterable[str]) -> list[str]:
    return [word.lower() for word in words]


def _pattern(words: Iterable[str]) -> re.Pattern[str]:
    """What finds any of ``words``, the longest first; English ones as whole words, Chinese ones anywhere but in other words."""
    found = (rf"(?<![a-z]){re.escape(w)}(?![a-z])" if w.isascii() else _COMPARED.get(w, re.escape(w)) for w in words)
    return re.compile("|".join(sorted(found, key=len, reverse=True)))
