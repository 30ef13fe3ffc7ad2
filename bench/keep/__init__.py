"""Which servers are kept: the pool's real policy on weeks of made-up traffic.

Time is simulated: the policy (luisito.core.policy) is told of requests, starts and ends when they
would come, and what it orders is done when it would be. Nothing of it is written anew here.
"""
