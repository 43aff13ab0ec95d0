"""What the Layout Expert costs beside the compiler it stands for. `python -m benchmarks` measures, and writes docs/performance.md."""
