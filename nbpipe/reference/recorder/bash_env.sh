# BASH_ENV of a run: every bash script and `bash -l -c` reads it, after the profiles that may have
# reset PATH, so that the recorder stands first again. What the user had as BASH_ENV comes before.
if [ -r "${NBPIPE_BASH_ENV:-}" ]; then . "$NBPIPE_BASH_ENV"; fi
if [ -d "${NBPIPE_CHILDREN:-}" ]; then
  case $PATH: in
    "${NBPIPE_CHILDREN%/children}/bin:"*) ;;
    *) PATH=${NBPIPE_CHILDREN%/children}/bin:$PATH ;;
  esac
fi
