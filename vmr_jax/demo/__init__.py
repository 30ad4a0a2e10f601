"""The demo: a rendered world, its encoder, and the whole way from its videos to moments."""
