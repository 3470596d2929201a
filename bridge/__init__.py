"""Recovery Bridge: win back customers who rated a ticket badly."""

__version__ = "1.0.0"
