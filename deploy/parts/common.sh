# Shared by the part scripts: where the cache is, the lock, checksums, progress. Sourced, never run.
#
# A part is complete when its file `complete` exists, which is written last. Everything before that moment happens in a
# working folder beside it, under a lock, so that an interruption at any moment leaves either the old state or the new
# one, and two fetches at once do the work once.

PARTS_DIR="${LEADTRAIL_PARTS:-${XDG_CACHE_HOME:-$HOME/.cache}/leadtrail/parts}"
case "$PARTS_DIR" in
/*) ;;
*)
    echo "LEADTRAIL_PARTS is $PARTS_DIR; it has to be an absolute path" >&2
    exit 1
    ;;
esac

# Seconds between two lines of progress.
PROGRESS_INTERVAL_S=2

say() { printf '%s: %s\n' "${PART:-fetch}" "$*" >&2; }
fail() { say "$*"; exit 1; }

# One fetch of a part at a time; the lock goes with the process, however it ends.
lock_part() {
    mkdir -p "$PARTS_DIR" || fail "cannot create $PARTS_DIR; set LEADTRAIL_PARTS to a folder that can be written"
    exec 9>"$PARTS_DIR/$PART.lock"
    if ! flock --nonblock 9; then
        say "another fetch is under way; waiting for it"
        flock 9
    fi
}

# has_sha256 FILE SUM
has_sha256() {
    local sum
    sum=$(sha256sum "$1" | cut -d' ' -f1)
    [ "$sum" = "$2" ]
}

# Name, size and time of change of each file: what `git status` looks at too. Equal means that nobody touched the files
# since their checksums were verified, without reading 600 MB at every start.
fingerprint() { stat --format='%n %s %.Y' -- "$@"; }

# is_complete DIR FILE...: the part was finished, and its files are those that were verified then.
is_complete() {
    local dir="$1"
    shift
    [ -f "$dir/complete" ] && (cd "$dir" && fingerprint "$@" 2>/dev/null) | cmp --quiet - "$dir/complete"
}

# mark_complete DIR FILE...: the last thing a fetch does. Data first, then the mark, in that order on the disk too.
mark_complete() {
    local dir="$1"
    shift
    sync -f "$dir"
    (cd "$dir" && fingerprint "$@") >"$dir/complete.new"
    mv "$dir/complete.new" "$dir/complete"
}

# with_progress DIR TOTAL_MB COMMAND...: runs the command and says now and then how much of the total is in DIR.
with_progress() {
    local dir="$1" total="$2" status=0
    shift 2
    (
        last=""
        # The parent may be killed without a chance to end this loop, so look for it.
        while sleep "$PROGRESS_INTERVAL_S" && kill -0 $$ 2>/dev/null; do
            now=$(du -sm --apparent-size "$dir" 2>/dev/null | cut -f1)
            [ "$now" = "$last" ] || say "$now of about $total MB"
            last="$now"
        done
    ) 9>&- &
    local ticker=$!
    "$@" 9>&- || status=$?
    kill "$ticker" 2>/dev/null || true
    wait "$ticker" 2>/dev/null || true
    return "$status"
}

# npm_tarball PACKAGE@VERSION SHA256 TOTAL_MB FILE: downloads the package, unless FILE is there already and right. npm's
# own cache goes into the working folder: a second copy of 180 MB in the home folder would help nobody.
npm_tarball() {
    local package="$1" sum="$2" total="$3" file="$4" work="$4.work"
    if [ -f "$file" ] && has_sha256 "$file" "$sum"; then
        say "$package was downloaded before"
        return
    fi
    rm -rf "$work" "$file"
    mkdir -p "$work/npm"
    say "downloading $package (about $total MB)"
    (cd "$work" && with_progress "$work/npm" "$total" npm pack "$package" --cache "$work/npm" --silent >/dev/null) ||
        fail "npm pack $package failed; run it by hand to see why, then try again"
    local tarballs=("$work"/*.tgz)
    has_sha256 "${tarballs[0]}" "$sum" ||
        fail "$package has another sha256 than the pinned one; nothing of it is used"
    mv "${tarballs[0]}" "$file"
    rm -rf "$work"
}
