# Sourced: an apt of the rig's own (lists, cache, sources), so that the guest is the same Debian whatever the host's
# release. Installs nothing. RIG_WORK: where images and downloads go.
suite=${RIG_SUITE:-bookworm}
work=${RIG_WORK:?the folder for the images}
dl=$work/dl
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
# The mirror this machine's apt uses for a release and component: every Debian mirror holds all releases.
uris() { apt-get indextargets --format '$(ORIGIN)|$(RELEASE)|$(REPO_URI)' | awk -F'|' "$1"' && !seen[$3]++ { print $3 }'; }
# apt tells of none before its first update.
[ -n "${RIG_MIRROR:-}" ] || [ -n "$(uris '$1 == "Debian"')" ] || apt-get -qq update
mirror=${RIG_MIRROR:-$(uris '$1 == "Debian" && $2 !~ /-(security|updates|backports)$/' | head -1)}
security=${RIG_SECURITY_MIRROR:-$(uris '$1 == "Debian" && $2 ~ /-security$/' | head -1)}
[ -n "$mirror" ] || { echo "apt knows no Debian mirror here (run apt-get update, or set RIG_MIRROR)" >&2; exit 1; }

sources() {
  printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$mirror" "$suite"
  [ -z "$security" ] || printf 'deb [signed-by=%s] %s %s-security main\n' "$keyring" "$security" "$suite"
}

apt_up() {
  local a=$work/apt
  mkdir -p "$a/lists/partial" "$a/cache/archives/partial" "$dl"
  touch "$a/status"
  sources > "$a/sources.list"
  APT=(-o "Dir::Etc::sourcelist=$a/sources.list" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$a/lists"
    -o "Dir::Cache=$a/cache" -o "Dir::State::status=$a/status" -o APT::Architecture=amd64 -o APT::Architectures=amd64
    -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=3 -qq)
  [ -n "$(find "$a/lists" -name '*Packages*' -mmin -60 2>/dev/null | head -1)" ] || apt-get "${APT[@]}" update
}

# deb PACKAGE: prints the path of the package's newest .deb, fetched when missing
deb() {
  local v f
  v=$(apt-cache "${APT[@]}" show --no-all-versions "$1" 2>/dev/null | sed -n 's/^Version: //p' | head -1)
  [ -n "$v" ] || { echo "no package $1 in $suite" >&2; return 1; }
  f=$(ls "$dl/$1_${v//:/%3a}"_*.deb 2>/dev/null | head -1)
  [ -n "$f" ] || {
    (cd "$dl" && apt-get "${APT[@]}" download "$1" >&2)
    f=$(ls "$dl/$1_${v//:/%3a}"_*.deb | head -1)
  }
  echo "$f"
}

kernel_package() { apt-cache "${APT[@]}" depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -1; }
