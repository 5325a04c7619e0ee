# bash completion for annex-agent

_annex_agent() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local commands="start configure stop hold status check clean watch signal simulate validate kit"
    local options="--dry-run --simulate --profile --config --user-data --root
        --log-format -v --verbose -q --quiet -h --help --version"
    local parts="central-manager submit token security-group iam-policy user-data launch-template"
    local events="success failure complete abandon heartbeat"
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
            mapfile -t COMPREPLY < <(compgen -W "wiki spot no-public-address spot-notice rebalance maintenance scale-in" -f -- "$current")
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
        --timeout | --within | --address | --port)
            return ;;
        --region | --account | --ami | --instance-type | --security-group | --instance-profile | --vpc | --site-cidr | \
            --admin-cidr | --worker-cidr | --name | --lifetime)
            return ;;
    esac

    # The command is the first word that is neither an option nor an option's value, and what it is for the second.
    local word command="" argument="" before=""
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case $before in
            --profile | --config | --user-data | --root | --log-format | --mode | --timeout | --within | --address | \
                --port | --region | --account | --ami | --instance-type | --security-group | --instance-profile | \
                --vpc | --site-cidr | --admin-cidr | --worker-cidr | --name | --lifetime)
                [[ $word == "=" ]] || before=
                continue ;;
        esac
        before=$word
        if [[ $word != -* && -n $command ]]; then
            argument=$word
            break
        elif [[ $word != -* ]]; then
            command=$word
        fi
    done

    case $command in
        "") [[ $current == -* ]] || options=$commands ;;
        stop) options+=" --mode --timeout --within" ;;
        hold) options+=" --release" ;;
        status | check) options+=" --json" ;;
        clean) options+=" --keep-condor" ;;
        simulate) options+=" --address --port --list-profiles" ;;
        validate)
            options+=" --schema --explain"
            if [[ -z $argument && $current != -* ]]; then
                compopt -o filenames 2>/dev/null
                mapfile -t COMPREPLY < <(compgen -W "$options" -f -- "$current")
                return
            fi ;;
        kit)
            options+=" --region --account --ami --instance-type --spot --security-group --instance-profile --vpc
                --site-cidr --ccb --admin-cidr --worker-cidr --name --lifetime --own-keys --mime"
            [[ -n $argument ]] || options+=" $parts" ;;
        signal) [[ -n $argument ]] || options+=" $events" ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
}

complete -F _annex_agent annex-agent
