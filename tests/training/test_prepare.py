"""Frames and latents from the world: the same however they are made, kept under a key, mirrored exactly."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kinema.core.errors import TrainingError
from kinema.core.geometry import VideoShape
from kinema.models.autoencoders.video import VideoAutoencoder
from kinema.training import prepare
from kinema.training.latents import LatentRecipe, prepare_latents
from kinema.training.prepare import SceneRange, prepare_frames, run_jobs, world_hash
from kinema.training.vae_folder import save_vae
from kinema.training.vae_losses import to_model
from kinema.world.scene import Scene
from tests.training.toys import VAE

SHAPE = VideoShape(frames=5, height_px=16, width_px=24, fps=6.0)
SCENES = SceneRange(split="train", shape=SHAPE, count=5, first_seed=7, per_shard=2)


def test_ranges_cover_every_seed_once() -> None:
    assert SCENES.num_shards == 3
    assert [s for n in range(3) for s in SCENES.seeds(n)] == [7, 8, 9, 10, 11]


def test_frames_do_not_depend_on_shards_or_processes(tmp_path: Path) -> None:
    one = prepare_frames(tmp_path / "a", SCENES)
    other = prepare_frames(tmp_path / "b", replace(SCENES, per_shard=3), workers=2)
    a, meta_a = one.read(SCENES.bucket, range(5))
    b, meta_b = other.read(SCENES.bucket, range(5))
    assert torch.equal(a["frames"], b["frames"])
    assert meta_a == meta_b
    assert a["frames"].shape == (5, 5, 16, 24, 3)
    assert [m["seed"] for m in meta_a] == [7, 8, 9, 10, 11]


def test_the_key_is_of_what_changes_a_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = prepare_frames(tmp_path, SCENES)
    again: list[object] = []
    assert prepare_frames(tmp_path, SCENES, observer=again.append).path == one.path
    assert again == []
    paths = {
        prepare_frames(tmp_path, replace(SCENES, **{k: v})).path for k, v in (("first_seed", 8), ("split", "test"))
    }
    monkeypatch.setattr(prepare, "world_hash", lambda: "another world")
    paths.add(prepare_frames(tmp_path, SCENES).path)
    assert len(paths | {one.path}) == 4


def test_comments_and_docstrings_change_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "world"
    package.mkdir()
    monkeypatch.setattr(prepare.kinema.world, "__path__", [str(package)])
    hashes = []
    for text in ('"""One."""\nx = 1\n', '"""Two."""\n# why\nx = 1\n', '"""Two."""\nx = 2\n'):
        (package / "a.py").write_text(text)
        hashes.append(world_hash())
    assert hashes[0] == hashes[1] != hashes[2]
    (package / "deeper").mkdir()
    (package / "deeper" / "b.py").write_text("x = 3")
    assert world_hash() not in hashes


@pytest.fixture
def vae(tmp_path: Path) -> Path:
    config = replace(VAE.config, latent_mean=(0.5,) * 5, latent_std=(2.0,) * 5)
    model = VideoAutoencoder(config)
    model.init_weights(torch.Generator().manual_seed(1))
    save_vae(model, tmp_path / "vae")
    return tmp_path / "vae"


def test_latents(tmp_path: Path, vae: Path) -> None:
    recipe = LatentRecipe(num_captions=3, stored="float32", batch=3)
    frames = prepare_frames(tmp_path, SCENES).read(SCENES.bucket, range(5))[0]["frames"]
    latents = prepare_latents(tmp_path, SCENES, vae=vae, recipe=recipe)
    assert latents.buckets == {SCENES.bucket: 10}
    tensors, metadata = latents.read(SCENES.bucket, [0, 2])  # a scene and its mirror image: shards hold both
    model = VideoAutoencoder(replace(VAE.config, latent_mean=(0.5,) * 5, latent_std=(2.0,) * 5))
    model.init_weights(torch.Generator().manual_seed(1))
    pair = to_model(torch.stack([frames[0], frames[0].flip(2)]))
    with torch.no_grad():
        expected = (model.encode(pair)[0] - 0.5) / 2
    assert torch.allclose(tensors["latents"], expected, atol=1e-5)
    scene, mirrored = (Scene.from_dict(m["scene"]) for m in metadata)
    assert mirrored == scene.mirrored()
    assert tensors["camera"].shape == (2, 3, 7)
    assert tensors["fps"].tolist() == [6.0, 6.0]
    assert tensors["motion"][0] == tensors["motion"][1] >= 1
    assert {k: 2 <= len(v) <= 5 and all(v) for k, v in metadata[0]["captions"].items()} == {"en": True, "zh": True}


def test_latents_are_keyed_by_the_autoencoder_too(tmp_path: Path, vae: Path) -> None:
    scenes = replace(SCENES, count=1)
    one = prepare_latents(tmp_path, scenes, vae=vae, recipe=LatentRecipe(num_captions=1))
    again: list[object] = []
    assert (
        prepare_latents(tmp_path, scenes, vae=vae, recipe=LatentRecipe(num_captions=1), observer=again.append).path
        == one.path
    )
    assert again == []
    other = VideoAutoencoder(replace(VAE.config, latent_mean=(0.5,) * 5, latent_std=(2.0,) * 5))
    other.init_weights(torch.Generator().manual_seed(2))
    save_vae(other, tmp_path / "other")
    two = prepare_latents(tmp_path, scenes, vae=tmp_path / "other", recipe=LatentRecipe(num_captions=1))
    three = prepare_latents(tmp_path, scenes, vae=vae, recipe=LatentRecipe(num_captions=2))
    assert len({one.path, two.path, three.path}) == 3


def test_an_autoencoder_that_was_trained_again_in_its_folder_is_read_again(tmp_path: Path, vae: Path) -> None:
    scenes, recipe = replace(SCENES, count=1), LatentRecipe(num_captions=1)
    before = prepare_latents(tmp_path, scenes, vae=vae, recipe=recipe)
    other = VideoAutoencoder(replace(VAE.config, latent_mean=(0.5,) * 5, latent_std=(2.0,) * 5))
    other.init_weights(torch.Generator().manual_seed(2))
    save_vae(other, vae)
    after = prepare_latents(tmp_path, scenes, vae=vae, recipe=recipe)
    one, two = (s.read(SCENES.bucket, [0])[0]["latents"] for s in (before, after))
    assert not torch.allclose(one, two, atol=0.1)


def interrupted(path: Path) -> None:
    """What a worker goes through when Ctrl-C is pressed at the terminal."""
    os.kill(os.getpid(), signal.SIGINT)
    path.touch()


def killed(path: Path) -> None:
    """What a worker goes through when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_workers_end_their_jobs_when_ctrl_c_comes(tmp_path: Path) -> None:
    jobs = [tmp_path / str(i) for i in range(2)]
    run_jobs(interrupted, jobs, workers=2)
    assert all(path.exists() for path in jobs)


def test_a_worker_that_dies_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="one of the 2 processes that prepare data died"):
        run_jobs(killed, [tmp_path / "a"], workers=2)
