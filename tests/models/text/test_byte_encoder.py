from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kinema.core.errors import InvalidInput
from kinema.models.text.byte_encoder import (
    BOS,
    EOS,
    MAX_BYTES,
    MINI_TEXT,
    PAD,
    ByteTextEncoder,
    ByteTextEncoderConfig,
    tokenize,
    truncated,
)

TEXTS = ["a red ball", "一只小狗在沙滩上奔跑，镜头拉近。", "", "a blue cube jumps " * 9]


@pytest.fixture(scope="module")
def encoder() -> ByteTextEncoder:
    config = ByteTextEncoderConfig(width=48, num_heads=3, num_layers=2, num_tokens=7, pooled_dim=11, mlp_width=31)
    encoder = ByteTextEncoder(config)
    encoder.init_weights(torch.Generator().manual_seed(0))
    return encoder.eval()


class TestTokenize:
    def test_bytes_between_begin_and_end_then_padding(self):
        ids, mask = tokenize(["ab", "狗"])
        assert ids.shape == (2, 16)
        assert ids[0].tolist() == [BOS, 97, 98, EOS] + [PAD] * 12
        assert ids[1].tolist() == [BOS, *"狗".encode(), EOS] + [PAD] * 11
        assert mask.sum(dim=1).tolist() == [4, 5]

    @pytest.mark.parametrize("length, padded", [(0, 16), (14, 16), (15, 32), (256, 272), (5000, 272)])
    def test_lengths_are_multiples_of_sixteen(self, length, padded):
        assert tokenize(["x" * length])[0].shape == (1, padded)

    @given(st.text(max_size=300))
    def test_what_is_kept_is_a_beginning_of_whole_characters(self, text):
        kept = truncated(text)
        assert len(kept) <= MAX_BYTES
        assert text.encode().startswith(kept)
        beginning = kept.decode()
        rest = text[len(beginning) :]
        assert not rest or len(kept) + len(rest[0].encode()) > MAX_BYTES

    def test_a_lone_surrogate_is_a_question_mark(self):
        assert truncated("a\ud800b") == b"a?b"

    def test_no_texts_are_refused(self):
        with pytest.raises(InvalidInput, match="texts"):
            tokenize([])


class TestEncoder:
    def test_shapes(self, encoder):
        tokens, mask, pooled = encoder(*tokenize(TEXTS))
        assert tokens.shape == (4, 7, 48)
        assert mask.shape == (4, 7)
        assert mask.all()
        assert pooled.shape == (4, 11)

    @pytest.mark.parametrize("i", range(len(TEXTS)))
    def test_neither_padding_nor_neighbours_change_a_text(self, encoder, i):
        ids, mask = tokenize(TEXTS)
        whole, alone = encoder(ids, mask), encoder(*tokenize([TEXTS[i]]))
        for a, b in ((whole[0], alone[0]), (whole[2], alone[2])):
            assert torch.allclose(a[i : i + 1], b, atol=2e-5)
        other = torch.where(mask, ids, 65)
        assert torch.equal(encoder(other, mask)[0], whole[0])

    def test_texts_differ_from_the_start(self, encoder):
        tokens, _, pooled = encoder(*tokenize(["a red ball rolls left", "a red ball rolls right", "一个红球"]))
        for a, b in ((0, 1), (0, 2)):
            assert (tokens[a] - tokens[b]).std() > 0.05
            assert (pooled[a] - pooled[b]).std() > 0.05

    def test_order_matters(self, encoder):
        tokens, _, _ = encoder(*tokenize(["the cat chases the dog", "the dog chases the cat"]))
        assert (tokens[0] - tokens[1]).std() > 0.02

    def test_weights_depend_on_the_generator_alone(self, encoder):
        again = ByteTextEncoder(encoder.config)
        again.init_weights(torch.Generator().manual_seed(0))
        assert all(
            torch.equal(a, b) for a, b in zip(again.state_dict().values(), encoder.state_dict().values(), strict=True)
        )
        for parameter in again.parameters():
            parameter.data.fill_(torch.nan)
        again.init_weights(torch.Generator().manual_seed(1))
        assert all(parameter.isfinite().all() for parameter in again.parameters())
        assert not torch.equal(again.embedding.weight, encoder.embedding.weight)

    def test_every_parameter_gets_a_gradient(self, encoder):
        tokens, _, pooled = encoder(*tokenize(TEXTS))
        encoder.zero_grad()
        ((tokens * torch.randn_like(tokens)).sum() + pooled.pow(2).sum()).backward()
        for name, parameter in encoder.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name

    def test_bf16(self, encoder):
        ids, mask = tokenize(TEXTS)
        with torch.no_grad():
            expected = encoder(ids, mask)[0]
            with torch.autocast("cpu", torch.bfloat16):
                under_autocast = encoder(ids, mask)[0].float()
            half = ByteTextEncoder(encoder.config)
            half.load_state_dict(encoder.state_dict())
            outright, _, pooled = half.to(torch.bfloat16)(ids, mask)
        assert outright.dtype == pooled.dtype == torch.bfloat16
        for actual in (under_autocast, outright.float()):
            assert (actual - expected).pow(2).mean().sqrt() < 0.05 * expected.std()

    def test_it_traces_as_one_graph(self, encoder):
        ids, mask = tokenize(TEXTS)
        traced = torch.compile(encoder, fullgraph=True, backend="eager")
        assert torch.allclose(traced(ids, mask)[0], encoder(ids, mask)[0], atol=1e-5)

    def test_a_length_between_places_is_refused(self, encoder):
        with pytest.raises(InvalidInput, match="ids"):
            encoder(torch.zeros(1, 15, dtype=torch.long), torch.ones(1, 15, dtype=torch.bool))

    def test_the_shipped_size(self):
        with torch.device("meta"):
            mini = ByteTextEncoder(MINI_TEXT)
        assert sum(p.numel() for p in mini.parameters()) == 2_121_216
        assert MINI_TEXT.num_tokens <= 32


@pytest.mark.parametrize("change", [{"num_heads": 7}, {"kernel": 4}, {"merge": 3}, {"width": 0}, {"num_layers": -1}])
def test_what_cannot_be_is_named(change):
    with pytest.raises(InvalidInput) as error:
        replace(MINI_TEXT, **change)
    assert error.value.field == next(iter(change))
