"""Control videos and masks for VACE and Animate: functions from pictures to pictures, one maker a file.

Lists of RGB pictures of one size go in, lists of RGB pictures of exactly that size come out. White in a mask
is generated, black is kept; missing pixels are gray. Models load when first asked for, through
`common/annotate/models.py`.
"""
