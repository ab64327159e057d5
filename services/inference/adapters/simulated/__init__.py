"""A token engine without a model, in a child process: the same steps, queue and cache as a real one, at no cost.

For load and fault tests. Its tokens are a function of all tokens so far and the seed, so that a continuation on another
worker can be checked exactly. Nobody is served by it unless a setting says so.
"""
