"""What one card does with full-size models of random weights, against stock diffusers in the same run.

`python -m bench.gpu decode` does a part, each in under ten minutes; `--out FILE` keeps the figures of the parts that
were done before.
"""
