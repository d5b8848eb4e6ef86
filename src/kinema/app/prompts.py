"""What becomes of a prompt before a model reads it: checked, rewritten, given the words of a style; every step told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kinema.core.card import ModelCard
from kinema.core.errors import InvalidInput, RefusedContent, choices
from kinema.core.request import GenerationRequest
from kinema.prompt.checks import Finding, check_prompt
from kinema.prompt.lexicon import Vocabulary
from kinema.prompt.rewrite import Rewritten, rewrite, summary
from kinema.prompt.styles import add_style
from kinema.prompt.vocabulary import name_unknown

CHECKS = ("block", "warn", "off")
# (prompt, vocabulary) -> prompt
Rewriter = Callable[[str, Vocabulary], str]


@dataclass(frozen=True, kw_only=True)
class PromptPolicy:
    """``rewrites`` turns rewriting on, by rules or by ``rewriter``; ``checks`` says what the content checks do when they find something.

    Raises: InvalidInput.
    """

    rewrites: bool = True
    rewriter: Rewriter | None = None
    checks: str = "block"

    def __post_init__(self) -> None:
        if self.checks not in CHECKS:
            raise InvalidInput("checks", self.checks, f"must be {choices(CHECKS)}")
        if self.rewriter is not None and not self.rewrites:
            raise InvalidInput("rewriter", "on", "needs rewriting, which is switched off")


@dataclass(frozen=True, kw_only=True)
class PreparedPrompt:
    """The ``request`` as the model gets it, and what was done to its prompt. ``unknown`` words are those that the model never read."""

    request: GenerationRequest
    rewritten: Rewritten
    unknown: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    style_is_known: bool | None = None

    def notes(self, model: str) -> list[str]:
        """What a user should know, a line each."""
        lines = [f"the checks object: {f.meaning} ({', '.join(f.words)})" for f in self.findings]
        if self.rewritten.is_changed:
            lines.append(f"rewritten: {self.rewritten.prompt} (--no-rewrite keeps your words)")
            if changes := summary(self.rewritten.changes):
                lines.append(changes)
        if self.unknown:
            lines.append(f"{model} was not trained on: {', '.join(self.unknown)}")
        if self.style_is_known is False:
            lines.append(
                f"{model} was not trained on the style {self.request.style}; its words were added all the same"
            )
        return lines

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict: the prompt as the model gets it, what was typed, and what was done."""
        done = self.rewritten.to_dict() | {"prompt": self.request.prompt, "unknown": list(self.unknown)}
        return done | {"style": self.request.style, "findings": [f.to_dict() for f in self.findings]}


_DEFAULT = PromptPolicy()


def prepare_prompt(request: GenerationRequest, card: ModelCard, policy: PromptPolicy = _DEFAULT) -> PreparedPrompt:
    """``request`` with the prompt that ``card``'s model gets; its ``original_prompt`` then holds what was typed.

    A request that has an ``original_prompt`` was prepared before: it is checked and else left alone.
    Raises: RefusedContent for what the checks block, InvalidInput for an unknown style or a rewriter that fails.
    """
    findings = _checked(_texts(request), policy)
    typed = request.prompt
    if request.original_prompt is not None:
        same = Rewritten(prompt=typed, original=request.original_prompt)
        return PreparedPrompt(request=request, rewritten=same, findings=findings)
    rewritten = _rewritten(typed, card, policy)
    if policy.rewriter is not None:
        findings = findings or _checked([rewritten.prompt], policy)
    prompt, is_known = rewritten.prompt, None
    is_said = request.style is not None and "style" not in card.conditions
    if request.style is not None and is_said:
        styled = add_style(prompt, request.style, card.vocabulary)
        prompt, is_known = styled.prompt, styled.is_known
    if is_said or prompt != typed:
        request = request.replace(prompt=prompt, original_prompt=typed)
    unknown = _unknown(rewritten, card, is_by_rules=policy.rewriter is None)
    return PreparedPrompt(
        request=request, rewritten=rewritten, unknown=unknown, findings=findings, style_is_known=is_known
    )


def _texts(request: GenerationRequest) -> list[str]:
    """What the model is asked to show. Below a guidance of 1 that is what the negative prompt says, too."""
    shows_negative = request.guidance is not None and request.guidance < 1
    texts = (request.prompt, request.original_prompt, request.negative_prompt if shows_negative else None)
    return [t for t in texts if t]


def _checked(texts: list[str], policy: PromptPolicy) -> tuple[Finding, ...]:
    if policy.checks == "off":
        return ()
    found = {f.category: f for text in texts for f in check_prompt(text)}
    if found and policy.checks == "block":
        first = next(iter(found.values()))
        words = ", ".join(first.words)
        rule = f"asks for {first.meaning} ({words}), which the content checks refuse; --no-check goes without them"
        raise RefusedContent("prompt", texts[0], rule)
    return tuple(found.values())


def _rewritten(prompt: str, card: ModelCard, policy: PromptPolicy) -> Rewritten:
    if policy.rewriter is not None:
        return Rewritten(prompt=policy.rewriter(prompt, card.vocabulary), original=prompt)
    if policy.rewrites and card.one_spelling:
        return rewrite(prompt, card.vocabulary)
    return Rewritten(prompt=prompt, original=prompt)


def _unknown(rewritten: Rewritten, card: ModelCard, *, is_by_rules: bool) -> tuple[str, ...]:
    if not card.vocabulary:
        return ()
    out = [c.before for c in rewritten.changes if c.how == "unknown"] if is_by_rules else []
    return tuple(dict.fromkeys([*out, *name_unknown(rewritten.prompt, card.vocabulary)]))
