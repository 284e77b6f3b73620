# shellcheck shell=bash
# What a changed file may break. tests/repo looks whether each file has its row, and the imports theirs.

# All that the stage unit runs.
unit_tests=(tests/unit tests/attacks tests/repo src)

changed_files() {
  local base
  base=$(git merge-base HEAD origin/main 2>/dev/null || git rev-parse HEAD)
  { git diff --name-only "$base" && git ls-files --others --exclude-standard; } | sort -u
}

# The unit tests that a changed file may break, besides tests/repo, whose rules are for every file; it fails
# for a file that has no row. Rows that name no tests are of what only lint, Airflow or nodes can judge.
tests_of() {
  case $1 in
    src/rax/workflow/* | src/rax/airflow/* | src/rax/cli/*) say src tests/unit/{rax,benchmarks,plugins} tests/attacks ;;
    src/*) say src tests/unit/{authors,rax,benchmarks,credentials,dag_sync,plugins} tests/attacks ;;
    plugins/*/sync_* | plugins/filter/dag_sync.* | roles/dag_sync/*)
      say tests/unit/{dag_sync,refresh_schedule,plugins,benchmarks} tests/attacks ;;
    plugins/*/outage.*) say tests/unit/{airflow,preflight} ;;
    plugins/*/program_files.*) say tests/unit/{benchmarks,control,dag_sync,plugins} ;;
    plugins/lookup/* | plugins/doc_fragments/* | plugins/filter/vault*)
      say tests/unit/{vaults,credentials,refresh_schedule} tests/attacks ;;
    plugins/plugin_utils/*)
      say tests/unit/{addresses,credentials,dag_sync,plugins,preflight,vaults} tests/attacks ;;
    plugins/module_utils/* | plugins/modules/*)
      say tests/unit/{benchmarks,credentials,dag_sync,plugins,preflight,refresh_schedule,vaults} tests/attacks ;;
    plugins/* | filter_plugins)
      say tests/unit/{addresses,airflow,credentials,dag_sync,plugins,preflight,refresh_schedule} tests/attacks ;;
    roles/python_environment/*) say tests/unit/packages ;;
    roles/refresh_schedule/*) say tests/unit/{refresh_schedule,control} tests/attacks ;;
    roles/airflow/*) say tests/unit/{airflow,rax} ;;
    roles/credentials/*) say tests/unit/{credentials,refresh_schedule} ;;
    roles/* | playbooks/* | inventories/* | group_vars | site.yml | meta/*)
      say tests/unit/{airflow,group_vars,lab,preflight,refresh_schedule,credentials} tests/attacks ;;
    benchmarks/*) say tests/unit/benchmarks ;;
    scripts/lib/locks/* | packages/*) say tests/unit/packages ;;
    scripts/authors/*) say tests/unit/{authors,benchmarks,lab} src ;;
    scripts/new-repository) say tests/unit/rax ;;
    scripts/*) say tests/unit/{benchmarks,lab,packages} ;;
    .pre-commit-hooks.yaml) say tests/unit/rax ;;
    tests/fakes/*) say tests/unit/{vaults,control,lab,rax} tests/attacks ;;
    tests/lookup_calls.py | tests/forks.py) say tests/unit/{airflow,credentials,plugins,vaults} tests/attacks ;;
    tests/unit/*) say "$(cut -d/ -f1-3 <<<"$1")" ;;
    tests/attacks/*) say tests/attacks ;;
    tests/conftest.py | pyproject.toml | requirements/* | ansible.cfg | collections/*) say "${unit_tests[@]}" ;;
    examples/* | molecule/* | tests/repo/* | tests/airflow/* | tests/flows_mutations/* | docs/* | *.md | galaxy.yml | LICENSE) ;;
    .ci/* | .config/* | .gitignore | .ansible-lint | .yamllint | .shellcheckrc) ;;
    *) return 1 ;;
  esac
}

# The folders of unit tests for changed files, each once; for a file that has no row, all that there are.
tests_for() {
  local file folder
  { say tests/repo; for file in "$@"; do tests_of "$file" || say "${unit_tests[@]}"; done; } | tr ' ' '\n' | sort -u |
    # A change may be that a folder went away.
    while read -r folder; do [ ! -d "$folder" ] || say "$folder"; done
}
