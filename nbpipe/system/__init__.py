"""The basement: what every room may use of the machine. Nothing here knows nbpipe's words.

files    bytes of one file in another one, shared where the file system can
"""
