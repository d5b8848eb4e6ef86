"""What every causal video autoencoder here is: pixels to Gaussian latents and back, whole or as a stream of chunks.

Legend: pixels (b c t h w) in [-1, 1], latents (b z n y x). The first frame stands alone, so a clip's first chunk has one frame more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kinema.core.errors import InvalidInput
from kinema.core.geometry import Compression, VideoShape
from kinema.models.layers.causal_conv import Stream, Video

# Beyond these a variance overflows or vanishes in fp32.
MIN_LOGVAR, MAX_LOGVAR = -30.0, 20.0


class GaussianAutoencoder(nn.Module, ABC):
    """The passes, checks and statistics around two networks: a subclass says what they make of a video and of latents."""

    def __init__(self, compression: Compression, pixel_channels: int) -> None:
        super().__init__()
        self._compression, self._pixel_channels = compression, pixel_channels

    @abstractmethod
    def _moments(self, video: Video, stream: Stream | None) -> Video:
        """Mean and logvar in one (b 2z n y x), before logvar is cut to its range."""

    @abstractmethod
    def _decode(self, latents: Video, stream: Stream | None) -> Video:
        """Pixels of latents."""

    @abstractmethod
    def _latent_statistics(self, latents: Video) -> tuple[Tensor, Tensor]:
        """(mean, standard deviation) of latents, in the dtype and on the device of ``latents``, to be broadcast to them."""

    def forward(
        self, video: Float[Tensor, "b c t h w"], noise: Float[Tensor, "b z n y x"] | None = None
    ) -> tuple[Float[Tensor, "b c t h w"], Float[Tensor, "b z n y x"], Float[Tensor, "b z n y x"]]:
        """(reconstruction, mean, logvar): from the latents' mean, or from a sample if ``noise`` is given."""
        mean, logvar = self.encode(video)
        latents = mean if noise is None else sample_latents(mean, logvar, noise)
        return self.decode(latents), mean, logvar

    def encode(
        self, video: Float[Tensor, "b c t h w"]
    ) -> tuple[Float[Tensor, "b z n y x"], Float[Tensor, "b z n y x"]]:
        """(mean, logvar) of the latents of pixels in [-1, 1].

        Raises: InvalidInput for a size off the grid, naming the nearest ones that fit.
        """
        return gaussian(self.moments(video))

    def moments(self, video: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b z2 n y x"]:
        """Mean and logvar in one, before logvar is cut to its range. Raises: InvalidInput as `encode`."""
        self._check_video(video)
        return self._moments(video, None)

    def decode(self, latents: Float[Tensor, "b z n y x"]) -> Float[Tensor, "b c t h w"]:
        """Pixels, about [-1, 1], of latents as `encode` gives them (not normalised). Raises: InvalidInput for another shape."""
        self._check_latents(latents)
        return self._decode(latents, None)

    def encode_stream(self, chunks: Iterable[Video]) -> Iterator[tuple[Video, Video]]:
        """(mean, logvar) for each chunk: the first of 1 + time * k frames, all later of time * k (the compression's ``time``, any k).

        Together they are what `encode` gives for the whole; memory doesn't grow with the number of chunks.
        Raises: InvalidInput for a chunk of another length.
        """
        stream = Stream()
        for chunk in chunks:
            self._check_video(chunk, is_start=stream.is_start)
            yield gaussian(self._moments(chunk, stream))
            stream.end_chunk()

    def decode_stream(self, latents: Video | Iterable[Video]) -> Iterator[Video]:
        """Pixels for each latent frame, or for each chunk of latents: one frame for the first latent frame, several for the others.

        Together they are what `decode` gives for the whole; memory doesn't grow with the number of chunks.
        """
        stream = Stream()
        for chunk in self._chunks(latents):
            yield self._decode(chunk, stream)
            stream.end_chunk()

    def normalise(self, latents: Float[Tensor, "b z n y x"]) -> Float[Tensor, "b z n y x"]:
        """Latents of about zero mean and unit variance, as a transformer is trained on."""
        mean, std = self._latent_statistics(latents)
        return (latents - mean) / std

    def denormalise(self, latents: Float[Tensor, "b z n y x"]) -> Float[Tensor, "b z n y x"]:
        """Latents that `decode` takes, of normalised ones."""
        mean, std = self._latent_statistics(latents)
        return latents * std + mean

    def _chunks(self, latents: Video | Iterable[Video]) -> Iterator[Video]:
        """The chunks to decode, each checked as it comes."""
        for chunk in latents.split(1, dim=2) if isinstance(latents, Tensor) else latents:
            self._check_latents(chunk)
            yield chunk

    def _check_video(self, video: Video, *, is_start: bool = True) -> None:
        _, channels, frames, height, width = video.shape
        if channels != self._pixel_channels:
            raise InvalidInput("video", tuple(video.shape), f"must have {self._pixel_channels} channels")
        if not is_start and (not frames or frames % self._compression.time):
            rule = f"a chunk after the first must be a multiple of {self._compression.time} frames, and not empty"
            raise InvalidInput("frames", frames, rule)
        checked = frames if is_start else frames + 1
        self._compression.check(VideoShape(frames=checked, height_px=height, width_px=width, fps=1))

    def _check_latents(self, latents: Video) -> None:
        if latents.shape[1] != self._compression.channels or not latents.shape[2]:
            rule = f"must have {self._compression.channels} channels and at least one frame"
            raise InvalidInput("latents", tuple(latents.shape), rule)


def gaussian(moments: Float[Tensor, "b z2 n y x"]) -> tuple[Float[Tensor, "b z n y x"], Float[Tensor, "b z n y x"]]:
    """(mean, logvar) of `GaussianAutoencoder.moments`."""
    mean, logvar = moments.chunk(2, dim=1)
    return mean, logvar.clamp(MIN_LOGVAR, MAX_LOGVAR)


def sample_latents(
    mean: Float[Tensor, "b z n y x"], logvar: Float[Tensor, "b z n y x"], noise: Float[Tensor, "b z n y x"]
) -> Float[Tensor, "b z n y x"]:
    """A draw from the Gaussian of `GaussianAutoencoder.encode`, with standard normal ``noise``."""
    return mean + torch.exp(0.5 * logvar) * noise.to(mean)
