# Define `launch` for the scripts beside this file: launch LAUNCHER OVERRIDE… starts one sweep.
# It takes the Python of the project's .venv, or the `python` of the PATH where there is no .venv.
launch() {
  local launcher="$1" root python
  shift
  root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
  python="$root/.venv/bin/python"
  [ -x "$python" ] || python=python
  exec "$python" -m collapse_lab -m "hydra/launcher=$launcher" "$@"
}
