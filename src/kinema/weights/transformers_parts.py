"""Text and picture encoders, tokenizers and image processors of published models, through transformers' classes.

Safetensors only, no remote code.
transformers (the extra ``text``) is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from kinema.core.errors import WeightsError, choices, needs_extra
from kinema.core.quiet import TORCHAO_IMPORT, errors_alone
from kinema.weights.families.facts import STREAMED_ENCODERS
from kinema.weights.files import listed, tensor_files, tensors_in
from kinema.weights.header import Piece
from kinema.weights.load import empty_module, pieces_of
from kinema.weights.tensors import is_finite

if TYPE_CHECKING:
    from kinema.weights.folder import ModelFolder

# Classes are looked up by these names alone: a model_index.json from anywhere must not choose what is run.
ENCODERS = (
    "LlamaModel",
    "LlavaForConditionalGeneration",
    "CLIPTextModel",
    "UMT5EncoderModel",
    "T5EncoderModel",
    "CLIPVisionModel",
    "CLIPVisionModelWithProjection",
)
TOKENIZERS = (
    "LlamaTokenizer",
    "LlamaTokenizerFast",
    "PreTrainedTokenizerFast",
    "TokenizersBackend",
    "CLIPTokenizer",
    "CLIPTokenizerFast",
    "T5Tokenizer",
    "T5TokenizerFast",
)
# Published name -> the class that is taken: pictures are resized by Pillow whatever else is installed, so that pixels stay the same.
IMAGE_PROCESSORS: dict[str, str] = dict.fromkeys(
    ("CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPImageProcessorPil"), "CLIPImageProcessorPil"
)
_SENTENCEPIECE = ("spiece.model", "tokenizer.model")
_VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", *_SENTENCEPIECE)


def load_encoder(
    folder: ModelFolder, component: str, *, dtype: torch.dtype, device: str | torch.device = "cpu"
) -> nn.Module:
    """The text or picture encoder of ``component``, in eval mode, without gradients.

    Raises: WeightsError for a class that isn't one of `ENCODERS`, tensors that are missing, unexpected, misshapen or not
    finite, or files that can't be read; MissingPackage without transformers.
    """
    name = _checked(folder, component, ENCODERS)
    place = folder.path / component
    tensors_in(tensor_files(place))  # refuses pickles, missing and truncated shards by name
    with needs_extra("text", component, name), _in_silence():
        model, found = _from_pretrained(
            component,
            name,
            place,
            dtype=dtype,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # they are named below, as all that doesn't fit
            output_loading_info=True,
        )
    kinds = {"missing": "missing_keys", "unexpected": "unexpected_keys", "misshapen": "mismatched_keys"}
    named = {what: [k if isinstance(k, str) else k[0] for k in found.get(key, ())] for what, key in kinds.items()}
    named["not finite"] = [n for n, t in model.state_dict().items() if not is_finite(t)]
    if problems := [f"{what} {listed(sorted(names))}" for what, names in named.items() if names]:
        raise WeightsError(component, place, "tensors " + "; ".join(problems))
    return model.to(device).eval().requires_grad_(False)


def empty_encoder(folder: ModelFolder, component: str, *, dtype: torch.dtype) -> tuple[Any, dict[str, Piece]]:
    """(what `load_encoder` gives before any tensor is read, where each of its tensors lies); of `STREAMED_ENCODERS`.

    All of it is on the meta device. Raises: as `load_encoder`, but for tensors that aren't finite.
    """
    name = _checked(folder, component, STREAMED_ENCODERS)
    place = folder.path / component
    pieces = pieces_of(tensor_files(place))
    with needs_extra("text", component, name), _in_silence():
        made = _class_of(name)
        config = _read(component, name, place, lambda: made.config_class.from_pretrained(place, local_files_only=True))
        # one table of words under two names, of which files have either or both
        tables = "shared.weight", "encoder.embed_tokens.weight"
        table = next((pieces[n] for n in tables if n in pieces), None)
        named = pieces if table is None else {**pieces, **dict.fromkeys(tables, table)}
        model: Any = empty_module(
            lambda: made._from_config(config), named, where=place, component=component, dtype=dtype
        )
    model.encoder.embed_tokens = model.shared
    return model, named


def load_tokenizer(folder: ModelFolder, component: str) -> Any:
    """The tokenizer of ``component``. Raises: WeightsError as `load_encoder`; MissingPackage without transformers or sentencepiece."""
    name = _checked(folder, component, TOKENIZERS)
    place = folder.path / component
    found = [file for file in _VOCABULARIES if (place / file).is_file()]
    if not found:  # else it would be made without a word
        raise WeightsError(component, place, f"has no vocabulary; must hold {choices(_VOCABULARIES)}")
    with needs_extra("text", component, name):
        if set(found) <= set(_SENTENCEPIECE):
            # without it transformers would take them for another format and ask for that one's package
            import_module("sentencepiece")
        return _from_pretrained(component, name, place)


def load_image_processor(folder: ModelFolder, component: str) -> Any:
    """The image processor of ``component``. Raises: WeightsError as `load_encoder`; MissingPackage without transformers."""
    name = IMAGE_PROCESSORS[_checked(folder, component, tuple(IMAGE_PROCESSORS))]
    place = folder.path / component
    if not (place / "preprocessor_config.json").is_file():
        raise WeightsError(component, place, "has no preprocessor_config.json")
    with needs_extra("text", component, name):
        return _from_pretrained(component, name, place)


def _from_pretrained(component: str, name: str, place: Path, **options: Any) -> Any:
    """What transformers' class ``name`` makes of the files in ``place``. Raises: WeightsError; ImportError."""
    return _read(
        component,
        name,
        place,
        lambda: _class_of(name).from_pretrained(place, local_files_only=True, trust_remote_code=False, **options),
    )


def _class_of(name: str) -> Any:
    """The class ``name`` of transformers."""
    import transformers

    with errors_alone(*TORCHAO_IMPORT):  # transformers imports it with its networks, where it is installed
        return getattr(transformers, name)


def _read(component: str, name: str, place: Path, read: Callable[[], Any]) -> Any:
    """What ``read`` makes of the files in ``place``. Raises: WeightsError; ImportError."""
    try:
        return read()
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as e:
        first = next(iter(str(e).strip().splitlines()), type(e).__name__)
        raise WeightsError(component, place, f"can't be loaded as a {name}: {first}") from e


@contextmanager
def _in_silence() -> Iterator[None]:
    """Within it transformers draws no bars and tells of errors alone: what it would warn of is refused."""
    from transformers.utils import logging

    had_bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()


def _checked(folder: ModelFolder, component: str, allowed: tuple[str, ...]) -> str:
    name = folder.class_name(component)
    library = folder.components[component][0]
    if library != "transformers" or name not in allowed:
        raise WeightsError(
            component, f"{library}.{name}", f"is not loaded; must be of transformers and {choices(allowed)}"
        )
    return name
