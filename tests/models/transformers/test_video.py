from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch

from kinema.core.errors import InvalidInput
from kinema.models.transformers.config import MINI, VideoTransformerConfig
from kinema.models.transformers.video import VideoTransformer, _mask_if_needed


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 2e-5) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() < tolerance)


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.set_grad_enabled(False):
        yield


class TestInitialWeights:
    def test_every_block_is_the_identity_and_the_velocity_zero(self, small, inputs, all_conditions):
        for options in ({}, all_conditions):
            model = small(**options)
            model.init_weights(torch.Generator().manual_seed(3))
            changed: list[float] = []

            def note(_module, args, out, changed=changed):
                changed.append(max(float((a - b).abs().max()) for a, b in zip(args[:2], out, strict=True)))

            for block in [*model.transformer_blocks, *model.single_transformer_blocks]:
                block.register_forward_hook(note)
            velocity = model(**inputs(model.config))
            assert len(changed) == 5
            assert max(changed) == 0
            assert velocity.abs().max() == 0

    def test_they_depend_on_the_generator_alone(self, small, all_conditions):
        states = []
        for seed in (3, 3, 4):
            model = small(**all_conditions)
            torch.rand(seed)
            model.init_weights(torch.Generator().manual_seed(seed))
            states.append(model.state_dict())
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
        key = "transformer_blocks.1.attn.to_q.weight"
        assert not torch.equal(states[0][key], states[2][key])
        assert states[0][key].std() == pytest.approx(0.88 * 48**-0.5, rel=0.1)

    @pytest.mark.parametrize("conditions", [False, True])
    def test_every_tensor_is_reached(self, small, all_conditions, conditions):
        model = small(**(all_conditions if conditions else {"guidance_embeds": True}))
        for parameter in model.parameters():
            parameter.fill_(torch.nan)
        model.init_weights(torch.Generator().manual_seed(3))
        assert all(parameter.isfinite().all() for parameter in model.parameters())

    def test_conditions_add_nothing_at_first(self, small, inputs, all_conditions):
        model = small(**all_conditions)
        seen: list[torch.Tensor] = []
        model.init_weights(torch.Generator().manual_seed(3))
        model.time_text_embed.register_forward_hook(lambda _m, _a, out: seen.append(out[0]))
        given = inputs(model.config)
        model(**given)
        model(**{**given, "camera": None, "scalars": None})
        assert torch.equal(seen[0], seen[1].expand_as(seen[0]))


class TestNoiseLevelPerFrame:
    @pytest.mark.parametrize("shared", [False, True])
    def test_equal_levels_are_one_level(self, small, inputs, shared):
        model = small(shared_modulation=shared)
        given = inputs(model.config)
        frames = given["sigma"][:, None].expand(-1, 3)
        assert close(model(**{**given, "sigma": frames}), model(**given))

    def test_a_frame_feels_its_own_level_and_the_text_the_largest(self, small, inputs):
        model = small(num_layers=1, num_single_layers=0, num_refiner_layers=0)
        signals: list[tuple[torch.Tensor, torch.Tensor]] = []
        model.transformer_blocks[0].register_forward_hook(lambda _, args, _out: signals.append(args[2]))
        given = inputs(model.config)
        levels = torch.tensor([[0.0, 0.5, 1.0], [0.9, 0.2, 0.2]])
        model(**{**given, "sigma": levels})
        model(**{**given, "sigma": levels[:, 1]})
        model(**{**given, "sigma": levels.amax(dim=1)})
        assert close(signals[0][0][:, 1:2], signals[1][0])
        assert not close(signals[0][0][:, :1], signals[1][0])
        assert close(signals[0][1], signals[2][1])

    def test_frames_do_not_leak_levels_when_attention_is_silent(self, small, inputs):
        """Without attention only the frame whose level changes may change."""
        model = small(num_layers=1, num_single_layers=1)
        for name, parameter in model.named_parameters():
            if "to_v" in name or "add_v_proj" in name:
                parameter.zero_()
        given = inputs(model.config)
        levels = torch.tensor([[0.1, 0.5, 0.9], [0.3, 0.3, 0.9]])
        other = levels.clone()
        other[:, 1] = 0.7
        a, b = model(**{**given, "sigma": levels}), model(**{**given, "sigma": other})
        assert close(a[:, :, [0, 2]], b[:, :, [0, 2]])
        assert not close(a[:, :, 1], b[:, :, 1], 1e-2)

    def test_token_replace_is_a_first_frame_at_level_zero(self, small, inputs):
        model, general = small(image_condition_type="token_replace"), small()
        general.load_state_dict(model.state_dict(), strict=True)
        given = inputs(model.config)
        levels = given["sigma"][:, None].repeat(1, 3)
        levels[:, 0] = 0
        replaced, expected = model(**given), general(**{**given, "sigma": levels})
        assert close(replaced[:, :, 1:], expected[:, :, 1:])
        # The last modulation of the given frame, whose velocity nobody uses, is the only difference.
        assert not close(replaced[:, :, :1], expected[:, :, :1], 1e-2)

    def test_a_patch_in_time_takes_the_largest_of_its_levels(self, small, inputs):
        model = small(patch_size_t=3)
        given = inputs(model.config, size=(6, 10, 14))
        mixed = torch.tensor([[0.1, 0.7, 0.2, 0.4, 0.3, 0.2]] * 2)
        plain = torch.tensor([[0.7, 0.7, 0.7, 0.4, 0.4, 0.4]] * 2)
        assert close(model(**{**given, "sigma": mixed}), model(**{**given, "sigma": plain}))


class TestText:
    @pytest.mark.parametrize("options", [{}, {"num_refiner_layers": 0, "shared_modulation": True}])
    def test_padding_changes_nothing(self, small, inputs, options):
        model = small(**options)
        given = inputs(model.config, num_text=5)
        padding = torch.full((2, 8, model.config.text_embed_dim), 7.0)
        mask = torch.cat([given["text_mask"], torch.zeros(2, 8, dtype=torch.bool)], dim=1)
        padded = {**given, "text": torch.cat([given["text"], padding], dim=1), "text_mask": mask}
        expected = model(**given)
        assert close(model(**padded), expected)
        assert not close(model(**{**padded, "text_mask": torch.ones_like(mask)}), expected, 1e-2)

    def test_no_mask_is_a_full_one(self, small, inputs):
        model = small()
        given = inputs(model.config)
        assert close(model(**{**given, "text_mask": None}), model(**given))
        assert _mask_if_needed(given["text_mask"]) is None
        given["text_mask"][1, -1] = False
        assert _mask_if_needed(given["text_mask"]) is not None

    def test_an_empty_text_is_valid(self, small, inputs):
        model = small()
        given = inputs(model.config)
        given["text_mask"][0] = False
        assert model(**given).isfinite().all()


class TestBatch:
    @pytest.mark.parametrize("conditions", [False, True])
    def test_a_sample_does_not_depend_on_its_neighbours(self, small, inputs, all_conditions, conditions):
        model = small(**(all_conditions if conditions else {"guidance_embeds": True}))
        given = inputs(model.config, batch=3)
        given["text_mask"][1, 11:] = False
        if conditions:
            given["sigma"] = torch.tensor([[0.1, 0.5, 0.9], [0.0, 0.2, 0.2], [0.7, 0.0, 0.4]])
        whole = model(**given)
        for i in range(3):
            assert close(model(**{name: value[i : i + 1] for name, value in given.items()}), whole[i : i + 1])


class TestConditions:
    def test_known_frames_are_channels(self, small, inputs, all_conditions):
        model = small(**all_conditions)
        given = inputs(model.config)
        none = {**given, "known": None, "known_mask": None}
        zeros = {
            **given,
            "known": torch.zeros_like(given["known"]),
            "known_mask": torch.zeros_like(given["known_mask"]),
        }
        assert torch.equal(model(**none), model(**zeros))
        assert not close(model(**none), model(**given), 1e-2)

        concatenated = small(**{**all_conditions, "known_channels": 0, "in_channels": 11})
        concatenated.load_state_dict(model.state_dict(), strict=True)
        rest = {name: value for name, value in given.items() if name not in ("known", "known_mask")}
        rest["latents"] = torch.cat([given["latents"], given["known"], given["known_mask"]], dim=1)
        assert torch.equal(concatenated(**rest), model(**given))

    def test_a_camera_of_nan_is_none(self, small, inputs, all_conditions):
        model = small(**all_conditions)
        given = inputs(model.config)
        none = model(**{**given, "camera": None})
        assert close(model(**{**given, "camera": torch.full_like(given["camera"], torch.nan)}), none)
        assert not close(model(**given), none, 1e-2)

    def test_one_nan_takes_the_camera_of_its_frame(self, small, inputs, all_conditions):
        embedder = small(**all_conditions).time_text_embed.camera_embedder
        camera = torch.randn(2, 3, 7)
        expected = embedder(camera)
        camera[1, 2, 4] = torch.nan
        embedded = embedder(camera)
        assert embedded[1, 2].abs().max() == 0
        assert torch.equal(embedded[0], expected[0])
        assert torch.equal(embedded[1, :2], expected[1, :2])

    def test_numbers_that_are_not_given_have_an_embedding_of_their_own(self, small, inputs, all_conditions):
        model = small(**all_conditions)
        given = inputs(model.config)
        nan = torch.full_like(given["scalars"], torch.nan)
        none = model(**{**given, "scalars": None})
        assert torch.equal(model(**{**given, "scalars": nan}), none)
        one = nan.clone()
        one[:, 1] = 24.0
        with_one = model(**{**given, "scalars": one})
        assert not close(with_one, none, 1e-3)
        model.time_text_embed.scalar_embedders["motion"].null.add_(1.0)
        assert not close(model(**{**given, "scalars": one}), with_one, 1e-3)

    def test_every_number_counts_in_its_place(self, small, inputs, all_conditions):
        model = small(**all_conditions)
        given = inputs(model.config)
        swapped = {**given, "scalars": given["scalars"][:, [1, 0, 2]]}
        assert not close(model(**given), model(**swapped), 1e-3)

    def test_guidance_counts(self, small, inputs):
        model = small(guidance_embeds=True)
        given = inputs(model.config)
        assert not close(model(**given), model(**{**given, "guidance": given["guidance"] + 1}), 1e-3)


class TestTraining:
    @pytest.mark.parametrize("conditions", [False, True])
    def test_every_parameter_gets_a_gradient(self, small, inputs, all_conditions, conditions):
        model = small(**(all_conditions if conditions else {"guidance_embeds": True}))
        given = inputs(model.config)
        if conditions:
            given["camera"][0, 1] = torch.nan
            given["scalars"][0] = torch.nan
        with torch.enable_grad():
            model(**given).pow(2).mean().backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().max() > 0, name

    def test_bf16_autocast_stays_near_fp32(self, small, inputs, all_conditions):
        model = small(**all_conditions)
        given = inputs(model.config)
        expected = model(**given)
        embeddings = []
        model.time_text_embed.register_forward_hook(lambda _m, _a, out: embeddings.append(out[0].dtype))
        with torch.enable_grad(), torch.autocast("cpu", torch.bfloat16):
            actual = model(**given)
            actual.pow(2).mean().backward()
        assert embeddings == [torch.float32]
        assert actual.dtype == torch.float32
        assert (actual - expected).pow(2).mean().sqrt() < 0.05 * expected.std()
        assert model.x_embedder.proj.weight.grad.dtype == torch.float32

    @pytest.mark.parametrize("conditions", [False, True])
    def test_it_traces_as_one_graph(self, small, inputs, all_conditions, conditions):
        """What breaks a graph breaks it before any code is generated, so this needs no compiler and few seconds."""
        model = small(
            **(all_conditions if conditions else {"guidance_embeds": True, "image_condition_type": "token_replace"})
        )
        del model.transformer_blocks[1:], model.single_transformer_blocks[1:]
        given = inputs(model.config)
        given["text_mask"][1, 11:] = False
        traced = torch.compile(model, fullgraph=True, backend="eager")
        with torch.autocast("cpu", torch.bfloat16, enabled=conditions):
            assert close(traced(**given), model(**given), 5e-2 if conditions else 2e-5)

    @pytest.mark.slow
    @pytest.mark.timeout(1200)
    def test_compiled_it_is_the_same(self, small, inputs, all_conditions):
        model = small(**all_conditions)
        del model.transformer_blocks[1:], model.single_transformer_blocks[1:]
        given = inputs(model.config)
        compiled = torch.compile(model, fullgraph=True)
        gradients = []
        for network in (model, compiled):
            model.zero_grad()
            with torch.enable_grad():
                network(**given).pow(2).mean().backward()
            gradients.append([p.grad for p in model.parameters()])
        # Compiled exponentials differ in their last bits.
        assert close(compiled(**given), model(**given), 2e-4)
        assert all((a - b).abs().max() < 1e-3 * (b.abs().max() + 1e-3) for a, b in zip(*gradients, strict=True))


class TestSharedModulation:
    def test_the_parameters_are_those_of_the_arithmetic(self):
        own = VideoTransformerConfig(
            num_attention_heads=2, attention_head_dim=16, num_layers=3, num_single_layers=5, text_embed_dim=7,
            pooled_projection_dim=11, rope_axes_dim=(4, 6, 6),
        )  # fmt: skip
        count = [
            sum(p.numel() for p in VideoTransformer(config).parameters())
            for config in (own, replace(own, shared_modulation=True))
        ]
        d, dual, single = 32, 3, 5
        spent = (12 * d * d + 12 * d) * dual + (3 * d * d + 3 * d) * single
        shared = 15 * d * d + 15 * d + 12 * d * dual + 3 * d * single
        assert count[0] - count[1] == spent - shared

    def test_blocks_differ_by_their_tables(self, small, inputs):
        model = small(shared_modulation=True, num_layers=0, num_single_layers=2)
        given = inputs(model.config)
        before = model(**given)
        model.single_transformer_blocks[1].norm.table.add_(0.3)
        assert not close(model(**given), before, 1e-2)


class TestMini:
    def test_its_parameters(self):
        with torch.device("meta"):
            model = VideoTransformer(MINI)
        assert sum(p.numel() for p in model.parameters()) == 10_550_976
        assert (MINI.width, MINI.embedded_channels, MINI.patch_volume) == (256, 33, 4)


class TestBadInput:
    @pytest.mark.parametrize(
        "field, change",
        [
            ("latents", {"latents": torch.zeros(2, 4, 3, 10, 14)}),
            ("latents", {"latents": torch.zeros(2, 5, 3, 11, 14)}),
            ("guidance", {"guidance": torch.ones(2)}),
            ("known", {"known": torch.zeros(2, 5, 3, 10, 14), "known_mask": torch.zeros(2, 1, 3, 10, 14)}),
            ("known_mask", {"known_mask": torch.zeros(2, 1, 3, 10, 14)}),
            ("camera", {"camera": torch.zeros(2, 3, 7)}),
            ("scalars", {"scalars": torch.zeros(2, 3)}),
        ],
    )
    def test_an_input_that_the_model_lacks_is_named(self, small, inputs, field, change):
        model = small()
        with pytest.raises(InvalidInput) as error:
            model(**{**inputs(model.config), **change})
        assert error.value.field == field

    @pytest.mark.parametrize(
        "field, axis", [("known", 1), ("known", 2), ("known_mask", 1), ("camera", 2), ("scalars", 1)]
    )
    def test_a_condition_of_another_size_is_named(self, small, inputs, all_conditions, field, axis):
        model = small(**all_conditions)
        given = inputs(model.config)
        given[field] = torch.cat([given[field]] * 2, dim=axis)
        # Past the shape annotations, which say so too where they are checked.
        tensors = [given[name] for name in ("latents", "sigma", "known", "known_mask", "camera")]
        check = (
            partial(model._check_vectors, None, given["scalars"])
            if field == "scalars"
            else partial(model._check, *tensors)
        )
        with pytest.raises(InvalidInput) as error:
            check()
        assert error.value.field == field

    def test_levels_for_other_frames_are_named(self, small, inputs):
        model = small()
        with pytest.raises(InvalidInput, match="each of 3 latent frames"):
            model._check(inputs(model.config)["latents"], torch.zeros(2, 4), None, None, None)

    def test_a_guidance_model_needs_guidance(self, small, inputs):
        model = small(guidance_embeds=True)
        with pytest.raises(InvalidInput, match="needs a guidance"):
            model(**{**inputs(model.config), "guidance": None})
