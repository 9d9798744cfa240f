#!/bin/bash
# The steps of a user with the package, on a machine with systemd as process 1. It runs there, as root; xtask reads its last line.
# A step is a function that passes when it returns 0. All steps are tried, also after a failure.
#
# $1: the package; $2: the same, of a later version.
exec < /dev/null
export DEBIAN_FRONTEND=noninteractive
old=$1 new=$2
passed=0 failed=0

step() {
    local words="${*//_/ }"
    if "$@" > /tmp/step 2>&1; then
        passed=$((passed + 1))
        echo "ok      $words"
    else
        failed=$((failed + 1))
        echo "FAILED  $words"
        sed 's/^/        /' /tmp/step
        systemctl status --no-pager --lines=20 headcount 2>&1 | sed 's/^/        /'
    fi
}

# Commands in a step that fail where bash would go on.
set -o pipefail
expect() {
    [ "$2" = "$3" ] || {
        echo "$1 is \"$2\", expected \"$3\""
        return 1
    }
}

await() {
    local deadline=$((SECONDS + 120))
    until "$@" > /dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || {
            echo "not within 120 s: $*"
            return 1
        }
        sleep 0.2
    done
}

scrape() {
    exec 3<> /dev/tcp/127.0.0.1/9256 || return 1
    printf 'GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
    tr -d '\r' <&3
    exec 3<&-
}

# The value of the one sample that starts like this.
sample() {
    scrape | awk -v start="$1" 'index($0, start) == 1 { print $NF }'
}

property() {
    systemctl show --value --property "$1" "${2:-headcount}"
}

status_of_main() {
    sed -n "s/^$1:[[:space:]]*//p" "/proc/$(property MainPID)/status"
}

launch() {
    for _ in $(seq "$1"); do /bin/true; done
}

# Starts the real Passenger as a service $1 that serves one application of that name on port $2, as the user $3. The other words
# are settings of the service.
passenger() {
    local name=$1 port=$2 user=$3
    shift 3
    mkdir -p "/srv/$name/public" "/srv/$name/tmp"
    echo 'run lambda { |_| [200, { "content-type" => "text/plain" }, ["here\n"]] }' > "/srv/$name/config.ru"
    systemd-run --quiet --unit="$name" --uid="$user" --setenv=HOME=/tmp "$@" \
        passenger start "/srv/$name" --engine=builtin --address=127.0.0.1 --port="$port" --environment=production \
        --user="$user" --max-pool-size=1 --disable-security-update-check --disable-anonymous-telemetry \
        --pid-file="/tmp/$name.pid" --log-file="/tmp/$name.log"
}

# Whether the application at this port answers; the first request starts its process.
answers() {
    exec 3<> "/dev/tcp/127.0.0.1/$1" || return 1
    printf 'GET / HTTP/1.0\r\n\r\n' >&3
    grep -qx here <&3
    local result=$?
    exec 3<&-
    return $result
}

a_new_package_installs() {
    dpkg --install "$old"
}

it_is_enabled_and_active() {
    expect enabled "$(systemctl is-enabled headcount)" enabled &&
        expect active "$(systemctl is-active headcount)" active &&
        await scrape
}

it_runs_as_its_user_with_four_capabilities() {
    local mask
    # CAP_DAC_READ_SEARCH 2, CAP_SYS_PTRACE 19, CAP_PERFMON 38, CAP_BPF 39; the agent may drop those that it needs no more.
    mask=$((1 << 2 | 1 << 19 | 1 << 38 | 1 << 39))
    expect user "$(status_of_main Uid | cut -f1)" "$(id -u headcount)" &&
        expect "bounding set" "$((0x$(status_of_main CapBnd) & ~mask))" 0 &&
        expect "permitted beyond that" "$((0x$(status_of_main CapPrm) & ~mask))" 0 &&
        expect "no new privileges" "$(status_of_main NoNewPrivs)" 1 &&
        expect "seccomp filter" "$(status_of_main Seccomp)" 2
}

the_kernel_programs_count() {
    expect "iterator tier" "$(scrape | grep -c '^headcount_accounting_info{.*tier="iterator"} 1')" 1
}

two_hundred_launches_are_two_hundred() {
    local name='namedprocess_namegroup_execs_total{groupname="true"}' before
    before=$(sample "$name")
    launch 200
    expect execs "$(($(sample "$name") - ${before:-0}))" 200
}

other_users_processes_are_seen_whole() {
    scrape > /dev/null
    expect "partial errors" "$(sample namedprocess_scrape_partial_errors)" 0 &&
        expect "unreadable files" "$(sample namedprocess_scrape_procread_errors)" 0 &&
        scrape | grep -F 'namedprocess_namegroup_open_filedesc{groupname="systemd"}' &&
        scrape | grep -F 'namedprocess_namegroup_threads_wchan{groupname="systemd"'
}

its_exposure_is_at_most_2.5() {
    systemd-analyze security --no-pager --threshold=25 headcount.service
}

bash_completes_its_flags() {
    COMP_WORDS=(headcount --accounting '') COMP_CWORD=2
    source /usr/share/bash-completion/completions/headcount &&
        _headcount headcount '' --accounting &&
        expect completions "${COMPREPLY[*]}" 'auto iterator switch procfs'
}

what_it_takes_from_itself_the_unit_lets_it_take() {
    expect refused "$(scrape | grep '^headcount_sandbox_state{.* 0$')" ""
}

# In a /tmp of its own, as systemd gives it to web servers; in the host's /tmp, which the agent's unit does not show it; and as
# another user, whose directory of sockets only that user may enter.
passengers_of_other_services_are_shown() {
    local port
    passenger shop 13001 root --property=PrivateTmp=yes &&
        passenger blog 13002 root &&
        passenger chat 13003 www-data || return 1
    for port in 13001 13002 13003; do
        await answers $port || return 1
    done
    await each_passenger_is_shown || each_passenger_is_shown
}

each_passenger_is_shown() {
    local name answer
    answer=$(scrape)
    expect instances "$(grep '^headcount_passenger_instances ' <<< "$answer")" 'headcount_passenger_instances 3' &&
        expect up "$(grep -c '^headcount_target_up{kind="passenger",target="[^"]*"} 1$' <<< "$answer")" 3 || return 1
    for name in shop blog chat; do
        expect "count of $name" "$(grep "^passenger_go_process_count.*\"$name" <<< "$answer")" \
            "passenger_go_process_count{name=\"$name\"} 1" || return 1
    done
}

passengers_that_ended_are_gone() {
    systemctl stop shop blog chat &&
        await eval '[ "$(sample "headcount_passenger_instances ")" = 0 ]' &&
        expect samples "$(scrape | grep -E '^(passenger_|headcount_target_up)')" ""
}

flags_come_from_the_default_file() {
    sed -i 's|^ARGS=.*|ARGS="--web.telemetry-path=/numbers --log.level=debug"|' /etc/default/headcount &&
        systemctl restart headcount &&
        await eval '! scrape | grep -q namedprocess' &&
        sed -i 's|^ARGS=.*|ARGS=""|' /etc/default/headcount &&
        systemctl restart headcount && await eval 'scrape | grep -q namedprocess'
}

a_wrong_flag_ends_it_for_good() {
    sed -i 's|^ARGS=.*|ARGS="--no-such-flag"|' /etc/default/headcount
    systemctl restart headcount
    await eval '[ "$(property ActiveState)" = failed ]' &&
        expect "restarts" "$(property NRestarts)" 0 &&
        expect "exit code" "$(property ExecMainStatus)" 2
    local result=$?
    sed -i 's|^ARGS=.*|ARGS=""|' /etc/default/headcount
    systemctl restart headcount && await scrape && return $result
}

an_upgrade_keeps_edits_and_starts_the_new_one() {
    local pid
    echo '# edited' >> /etc/headcount/headcount.yml
    pid=$(property MainPID)
    launch 3
    dpkg --install "$new" && await scrape || return 1
    [ "$(property MainPID)" != "$pid" ] || {
        echo "the old program still runs"
        return 1
    }
    expect "last line of the configuration" "$(tail -n 1 /etc/headcount/headcount.yml)" '# edited' &&
        expect "execs before it" "$(sample 'namedprocess_namegroup_execs_total{groupname="true"}')" "" &&
        two_hundred_launches_are_two_hundred
}

the_drop_in_for_root_works() {
    mkdir -p /etc/systemd/system/headcount.service.d
    cp /usr/share/doc/headcount/examples/root.conf /etc/systemd/system/headcount.service.d/ &&
        systemctl daemon-reload && systemctl restart headcount && await scrape &&
        expect user "$(status_of_main Uid | cut -f1)" 0 &&
        the_kernel_programs_count &&
        each_passenger_is_shown
}

the_drop_in_for_old_kernels_works() {
    rm /etc/systemd/system/headcount.service.d/root.conf
    cp /usr/share/doc/headcount/examples/old-kernel.conf /etc/systemd/system/headcount.service.d/ &&
        systemctl daemon-reload && systemctl restart headcount && await scrape &&
        expect user "$(status_of_main Uid | cut -f1)" "$(id -u headcount)" &&
        the_kernel_programs_count
    local result=$?
    rm /etc/systemd/system/headcount.service.d/old-kernel.conf
    systemctl daemon-reload && systemctl restart headcount && await scrape && return $result
}

# Asks the service broker, by method, path and body.
broker() {
    exec 3<> /dev/tcp/127.0.0.1/9256 || return 1
    printf '%s /broker/v2/%s HTTP/1.1\r\nHost: h\r\nAuthorization: Basic dTpw\r\nX-Broker-API-Version: 2.17\r\n' "$1" "$2" >&3
    printf 'Content-Length: %s\r\nConnection: close\r\n\r\n%s' "${#3}" "$3" >&3
    tr -d '\r' <&3
    exec 3<&-
}

the_drop_in_for_the_broker_works() {
    local place=service_instances/i/service_bindings/b
    local service=75bcebab-cc25-4ef6-89dc-a91b953919f1 plan=e2900be3-709b-419e-b63b-de3aabcd9e15
    local body="{\"service_id\":\"$service\",\"plan_id\":\"$plan\",\"app_guid\":\"a\",\"parameters\":{\"endpoint\":\"/x\"}}"
    cp /etc/headcount/headcount.yml /tmp/before.yml
    echo '{}' > /etc/headcount/routes.json
    install -o headcount -m 400 /dev/stdin /etc/headcount/broker-password <<< p
    cat >> /etc/headcount/headcount.yml <<< $'fan_in:\n  routes_file: routes.json\n  broker: {username: u, password_file: broker-password}'
    cp /usr/share/doc/headcount/examples/broker.conf /etc/systemd/system/headcount.service.d/ &&
        systemctl daemon-reload && systemctl restart headcount && await scrape &&
        expect "first answer" "$(broker PUT $place "$body" | head -n 1)" "HTTP/1.1 201 Created" &&
        expect file "$(stat -c '%U %a' /var/lib/headcount /var/lib/headcount/broker.json | xargs)" "headcount 700 headcount 600" &&
        systemctl restart headcount && await scrape &&
        expect "answer after a restart" "$(broker GET $place '' | tail -n 1)" \
            '{"credentials":{"endpoint":"/x"},"parameters":{"endpoint":"/x"}}'
    local result=$?
    rm /etc/systemd/system/headcount.service.d/broker.conf
    cp /tmp/before.yml /etc/headcount/headcount.yml
    systemctl daemon-reload && systemctl restart headcount && await scrape && return $result
}

a_reload_reads_the_configuration_again() {
    local pid
    pid=$(property MainPID)
    sed -i 's|^process_names:|&\n  - name: launches\n    comm: ["true"]|' /etc/headcount/headcount.yml
    systemctl reload headcount &&
        await eval 'scrape | grep -F "groupname=\"launches\""' &&
        expect "main process" "$(property MainPID)" "$pid"
}

the_socket_is_systemds() {
    sed -i 's|^ARGS=.*|ARGS="--web.systemd-socket"|' /etc/default/headcount
    systemctl stop headcount
    systemctl start headcount.socket &&
        expect "before the first scrape" "$(property ActiveState)" inactive &&
        await eval '[ "$(sample headcount_build_info | wc -l)" = 1 ]' &&
        expect "after it" "$(property ActiveState)" active
    local result=$?
    systemctl stop headcount.socket headcount
    sed -i 's|^ARGS=.*|ARGS=""|' /etc/default/headcount
    systemctl start headcount && await scrape && return $result
}

a_stop_is_an_end_in_order() {
    systemctl stop headcount &&
        expect state "$(property ActiveState)" inactive &&
        expect result "$(property Result)" success &&
        expect "exit code" "$(property ExecMainStatus)" 0
}

an_upgrade_does_not_start_what_was_stopped() {
    dpkg --install "$new" && expect state "$(property ActiveState)" inactive
}

a_removal_leaves_the_configuration() {
    systemctl start headcount
    dpkg --remove headcount &&
        expect "still running" "$(pidof headcount)" "" &&
        expect "in /usr" "$(find /usr -name '*headcount*')" "" &&
        [ -f /etc/headcount/headcount.yml ] && [ -f /etc/default/headcount ]
}

a_purge_leaves_nothing() {
    dpkg --purge headcount && systemctl daemon-reload &&
        expect left "$(find / /run -xdev -name '*headcount*' -not -path '/var/lib/systemd/deb-systemd-helper-*')" "" &&
        expect users "$(grep headcount /etc/passwd /etc/group /etc/shadow /etc/gshadow)" "" &&
        expect units "$(systemctl list-unit-files --no-legend 'headcount*')" ""
}

step a_new_package_installs
step it_is_enabled_and_active
step it_runs_as_its_user_with_four_capabilities
step the_kernel_programs_count
step two_hundred_launches_are_two_hundred
step other_users_processes_are_seen_whole
step its_exposure_is_at_most_2.5
step bash_completes_its_flags
step what_it_takes_from_itself_the_unit_lets_it_take
step passengers_of_other_services_are_shown
step flags_come_from_the_default_file
step a_wrong_flag_ends_it_for_good
step an_upgrade_keeps_edits_and_starts_the_new_one
step the_drop_in_for_root_works
step passengers_that_ended_are_gone
step the_drop_in_for_old_kernels_works
step the_drop_in_for_the_broker_works
step a_reload_reads_the_configuration_again
step the_socket_is_systemds
step a_stop_is_an_end_in_order
step an_upgrade_does_not_start_what_was_stopped
step a_removal_leaves_the_configuration
step a_purge_leaves_nothing
echo "HEADCOUNT-VM-RESULT: $passed passed, $failed failed"
