# bash completion for annex-agent

_annex_agent() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local commands="start configure stop status check clean simulate"
    local options="--dry-run --simulate --profile --config --user-data --root
        --log-format -v --verbose -q --quiet -h --help --version"
    COMPREPLY=()

    # "--mode=fast" is three words to bash, "=" being one.
    if [[ $current == "=" ]]; then
        current=
    elif [[ $previous == "=" && $COMP_CWORD -gt 1 ]]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi

    case $previous in
        --profile)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -W "wiki spot no-public-address" -f -- "$current")
            return ;;
        --config | --user-data)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return ;;
        --root)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -d -- "$current")
            return ;;
        --log-format)
            mapfile -t COMPREPLY < <(compgen -W "text json" -- "$current")
            return ;;
        --mode)
            mapfile -t COMPREPLY < <(compgen -W "graceful peaceful fast" -- "$current")
            return ;;
        --timeout | --address | --port)
            return ;;
    esac

    # The command is the first word that is neither an option nor an option's value.
    local word command="" before=""
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case $before in
            --profile | --config | --user-data | --root | --log-format | --mode | --timeout | --address | --port)
                [[ $word == "=" ]] || before=
                continue ;;
        esac
        before=$word
        if [[ $word != -* ]]; then
            command=$word
            break
        fi
    done

    case $command in
        "") [[ $current == -* ]] || options=$commands ;;
        stop) options+=" --mode --timeout" ;;
        status | check) options+=" --json" ;;
        clean) options+=" --keep-condor" ;;
        simulate) options+=" --address --port --list-profiles" ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
}

complete -F _annex_agent annex-agent
