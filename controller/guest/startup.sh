#!/bin/bash
# A notebook host's start-up script, run as root at every boot by Google's guest agent, and whenever somebody runs it
# again. It fetches the guest's own files from the instance's metadata and starts its supervisor, which does the rest.
#
# Everything goes to /run, so that a boot disk never carries anything stale. Run again while the supervisor runs, it
# changes nothing unless the files have changed; Jupyter is a unit of its own and is left alone either way.
set -euo pipefail
umask 022

readonly METADATA=http://169.254.169.254/computeMetadata/v1/instance/attributes/rehost-guest
readonly PLACE=/run/rehost/guest
readonly UNIT=/run/systemd/system/rehost-guest.service

# The images of Debian and Ubuntu have Python; a minimal one may not.
if ! command -v python3 >/dev/null; then
  echo "rehost: installs python3"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q
  apt-get install -q -y --no-install-recommends python3
fi

mkdir -p "$PLACE" "$(dirname "$UNIT")"

# One document maps names of files to their text. Says "changed" when anything differs from what is there.
changed=$(python3 - "$METADATA" "$PLACE" <<'PYTHON'
import json, os, re, sys, time, urllib.request

address, place = sys.argv[1:]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
request = urllib.request.Request(address, headers={"Metadata-Flavor": "Google"})
for attempt in range(10):
    try:
        with opener.open(request, timeout=10) as answer:
            files = json.load(answer)
        break
    except OSError as why:
        if attempt == 9:
            sys.exit(f"rehost: the guest's files cannot be fetched: {why}")
        time.sleep(min(5, 0.2 * 2 ** attempt))

folder = os.path.join(place, "rehost_guest")
os.makedirs(folder, exist_ok=True)
changed = False
for name in set(os.listdir(folder)) - set(files) - {"__pycache__"}:
    os.unlink(os.path.join(folder, name))
    changed = True
for name, text in files.items():
    if not re.fullmatch(r"[a-z_]+\.py", name):
        sys.exit(f"rehost: {name!r} is not the name of one of the guest's files")
    path = os.path.join(folder, name)
    if os.path.exists(path) and open(path).read() == text:
        continue
    with open(path + ".new", "w") as new:
        new.write(text)
    os.replace(path + ".new", path)
    changed = True
print("changed" if changed else "same")
PYTHON
)

cat >"$UNIT.new" <<UNIT
[Unit]
Description=Rehost: takes the home, serves JupyterLab, lets go
StartLimitIntervalSec=0
After=network-online.target
[Service]
ExecStart=$(command -v python3) -m rehost_guest vm
WorkingDirectory=$PLACE
Environment=PYTHONDONTWRITEBYTECODE=1
Restart=always
RestartSec=2
StandardOutput=journal+console
StandardError=journal+console
UNIT
if ! cmp -s "$UNIT.new" "$UNIT"; then
  mv "$UNIT.new" "$UNIT"
  systemctl daemon-reload
  changed=changed
else
  rm "$UNIT.new"
fi

if [ "$changed" = changed ]; then
  systemctl restart rehost-guest.service
else
  systemctl start rehost-guest.service
fi
