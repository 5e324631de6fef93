# Sourced by the scripts beside it: launch LAUNCHER OVERRIDE… starts one sweep with the project's own Python
launch() {
  local launcher="$1" root python
  shift
  root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
  python="$root/.venv/bin/python"
  [ -x "$python" ] || python=python
  exec "$python" -m collapse_lab -m "hydra/launcher=$launcher" "$@"
}
