"""Real servers for tests and for people, one script a server: `python3 -m servers.elasticsearch start`. Standard library only, Linux only.

They listen on loopback alone, keep what they downloaded in the user's cache and everything else in a directory of the user's own under
/var/tmp, and are ended by `stop`.
"""
