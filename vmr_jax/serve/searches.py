"""The part of the API that searches."""

from typing import Annotated

from fastapi import APIRouter, Query

from vmr_jax.serve.answers import (
    MOST,
    VERSION,
    Curve,
    Find,
    Health,
    Indexing,
    Modality,
    Moments,
    Search,
    Video,
    Videos,
    best_moments,
    search_together,
)
from vmr_jax.serve.arguments import Sentence, Top, VideoId
from vmr_jax.serve.batches import Batches
from vmr_jax.serve.opened import ServedIndex
from vmr_jax.serve.turns import Turns
from vmr_jax.video_index.running import running


def search_routes(index: ServedIndex, turns: Turns, waiting: int) -> APIRouter:
    """The routes that answer from the index alone; so many searches wait at most."""
    router = APIRouter()
    searches = Batches[Search, Moments](
        lambda asked: search_together(index.now().corpus, asked), waiting
    )

    @router.get("/search")
    async def search(q: Sentence, top: Top = 10, modality: Modality = "both") -> Moments:
        """Find the best moments of a sentence in all videos: seen, said, or both."""
        return await searches.run(Search(q, top, modality))

    @router.post("/find")
    async def find(asked: Find) -> Moments:
        """Find the best moments of a sentence in one video."""
        return await turns.run(
            lambda: best_moments(index.now(), asked.query, asked.top, asked.video, asked.modality)
        )

    @router.get("/curve")
    async def curve(video: VideoId, q: Sentence) -> Curve:
        """Tell how well each frame of a video fits a sentence."""
        return await turns.run(lambda: _curve(index, video, q))

    @router.get("/videos")
    def videos(
        first: Annotated[int, Query(ge=0, description="How many to pass over.")] = 0,
        top: Annotated[int, Query(ge=1, le=MOST, description="Videos at most.")] = MOST,
    ) -> Videos:
        """List the videos of the index."""
        all_videos = index.now().corpus.videos
        listed = [
            Video(id=video.id, duration=video.duration, frames=video.frames)
            for video in all_videos[first : first + top]
        ]
        seconds = sum(video.duration for video in all_videos)
        return Videos(count=len(all_videos), seconds=seconds, videos=listed)

    @router.get("/health")
    def health() -> Health:
        """Tell that the server answers."""
        corpus = index.now().corpus
        return Health(
            status="ok",
            version=VERSION,
            videos=len(corpus.videos),
            frames=sum(video.frames for video in corpus.videos),
            speech=corpus.knows_speech,
            indexing=Indexing(**told._asdict()) if (told := running(corpus.index)) else None,
        )

    return router


def _curve(index: ServedIndex, name: str, sentence: str) -> Curve:
    opened = index.now()
    duration = opened.video(name).duration
    curve = opened.corpus.curve(name, sentence)
    return Curve(video=name, duration=duration, times=curve.times.tolist(), fit=curve.fit.tolist())
