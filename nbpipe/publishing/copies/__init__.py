"""`getlatest`: a writable copy of a release, and updates of it that lose nothing.

    finding   where the release comes from: an argument, the environment, the site, the home
    releases  a release in a mirror on this machine: listing, bytes
    origins   the same from a git repository, read from blobs; commands: the git for it
    listing   what there is to take; titles: what notebooks call themselves
    substance what of a notebook is work, and what only a run of it
    decision  what becomes of one file: pure, a table
    manifest  what was taken, kept in the copy itself
    folder    the user's folder, through descriptors, never through a link
    taking    all of it together: plan, write, remember

Written by hand: nbgitpuller commits the user's changes in a clone and lets `git merge -Xours`
decide line by line, which can mix two notebooks into one that is neither; what the user deleted
comes back. Here whole files are decided, and the user's folder is no repository.

It starts in a blink and runs as the user, on laptops too: nothing slow is imported at the top
of a module here, and no setting is needed.
"""
