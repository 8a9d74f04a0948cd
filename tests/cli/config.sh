# config: targets, configurations right and wrong, check.
. "$HERE/lib.sh"

cat >"$WORK/two.json" <<END
{"mcpServers": {"my notes": {"command": "$NOTES", "autoApprove": ["x"]}, "more": {"command": "$NOTES"},
                "off": {"command": "true", "disabled": true}}}
END
cat >"$WORK/down.json" <<END
{"mcpServers": {"notes": {"command": "$NOTES"}, "gone": {"command": "/nonexistent/server"},
                "shut": {"url": "http://127.0.0.1:1/mcp"}, "dies": {"command": "false"}}}
END
printf '{"mcpServers": {' >"$WORK/cut.json"
printf '{"gateway": {"listn": ["127.0.0.1:0"]}}' >"$WORK/typo.json"
printf '{"mcpServers": {}}' >"$WORK/none.json"
printf '{"mcpServers": {"a": {"command": "${MCPGW_TEST_COMMAND}"}}}' >"$WORK/env.json"
printf '{"mcpServers": {"a": {"command": "true"}}, "gateway": {"listen": ["0.0.0.0:0"]}}' >"$WORK/open.json"

run check "$WORK/missing.json"; ok "a file that is not there" all 'exits 3' one_line 'says missing.json'
run check "$WORK"; ok "a directory is no configuration" all 'exits 3' one_line
run check "$WORK/cut.json"; ok "a configuration that is cut" all 'exits 3' one_line
run check "$WORK/typo.json"; ok "a wrong key names the right one" all 'exits 3' one_line 'says listen'
run check --json "$WORK/typo.json"
ok "a wrong configuration as JSON" all 'exits 3' json 'json_says "d[\"ok\"] is False and \"listen\" in d[\"error\"]"'
for c in serve stdio tools; do run $c "$WORK/typo.json"; ok "$c refuses it too" all 'exits 3' one_line 'empty "$out"'; done
run call "$WORK/typo.json" x; ok "call refuses it too" all 'exits 3' one_line

run check "$WORK/two.json"
ok "check tells of the servers" all 'exits 0' 'prints "mynotes *ok"' 'prints "more *ok"' 'prints "2026-07-28 (modern)"' \
  'prints "notes 1.0.0"' 'prints "4 tools, 0 prompts, 1 resource$"'
ok "check tells what was ignored" all 'prints "autoApprove"' 'prints "off"'
ok "check tells of contexts in the design's words" prints 'Without a handle the boundary is the principal (no SDK echoes ours today): its default context holds quotas and, for `session` upstreams, one link.'
ok "check has no progress line on a pipe" empty "$err"
run check --json "$WORK/two.json"
ok "check --json" all 'exits 0' json 'json_says "d[\"ok\"] and len(d[\"servers\"])==2 and d[\"servers\"][0][\"slug\"]==\"mynotes\" and d[\"servers\"][0][\"tools\"]==4 and len(d[\"notes\"])==2 and \"boundary\" in d[\"contexts\"]"'
run check "$WORK/two.json" --offline
ok "check --offline starts nothing" all 'exits 0' 'prints "not started"' '! prints "1.0.0"'
run check --offline --json "$WORK/down.json"
ok "check --offline --json" all 'exits 0' json 'json_says "len(d[\"servers\"])==4"'

run check "$WORK/down.json"
ok "a server that is down is told, the others too" all 'exits 4' 'prints "notes *ok"' 'prints "gone *failed"' \
  'prints "shut *failed"' 'prints "dies *failed"'
run check "$WORK/down.json" --json
ok "the same as JSON" all 'exits 4' json 'json_says "not d[\"ok\"] and [s[\"ok\"] for s in d[\"servers\"]]==[True,False,False,False] and all(s[\"error\"] for s in d[\"servers\"][1:])"'
printf '{"mcpServers": {"hangs": {"command": "sleep", "args": ["60"]}, "notes": {"command": "%s"}}}' "$NOTES" >"$WORK/hangs.json"
began=$(date +%s)
run check --timeout 1500 "$WORK/hangs.json"
ok "a server that says nothing costs no more than --timeout" all 'exits 4' 'prints "hangs *failed"' 'prints "notes *ok"' \
  '[ $(($(date +%s) - began)) -lt 8 ]'
printf '{"mcpServers": {"a": {"command": "%s"}, "b": {"command": "%s"}}, "gateway": {"state_dir": "state"}}' "$NOTES" "$NOTES" >"$WORK/cold.json"
run call "$WORK/cold.json" b__add_note '{"text": "1"}' --log-level debug
ok "the first run finds out" all 'exits 0' 'says "link.ready.*upstream=b"' '! says upstream.known'
run call "$WORK/cold.json" b__add_note '{"text": "1"}' --log-level debug
ok "the second knows where to go, and starts nothing else" all 'exits 0' 'says "upstream.known upstream=b"' '! says "link.ready"'
printf garbage >"$WORK/state/store/data.mdb"
run call "$WORK/cold.json" b__add_note '{"text": "1"}'
ok "a store that is damaged costs no more than what it knew" all 'exits 0' 'prints "note 1"'
run check "$WORK/none.json"; ok "a configuration without servers is right" all 'exits 0' 'prints "0 servers"'
for c in call tools pin serve stdio; do
  run $c "$WORK/none.json" $([ $c = call ] && echo x); ok "but there is nothing to $c" all 'exits 3' one_line 'says "no server is configured"'
done
printf '{"mcpServers": {"old": {"type": "sse", "url": "http://127.0.0.1:1/sse"}}}' >"$WORK/sse.json"
run check "$WORK/sse.json"; ok "check tells why an sse server stays away" all 'exits 4' 'prints "old *failed.*HTTP+SSE servers (2024-11-05) are not supported"'
for mode in fresh refuse; do
  printf '{"mcpServers": {}, "gateway": {"contexts": {"no_handle": "%s"}}}' $mode >"$WORK/handles.json"
  run check "$WORK/handles.json"; ok "check tells of no_handle $mode" all 'exits 0' "prints 'no_handle is $mode'" '! prints boundary'
done

MCPGW_TEST_COMMAND=$NOTES run tools "$WORK/env.json"; ok '${VAR} comes from the environment' all 'exits 0' 'prints add_note'
for how in "" --offline; do
  run check $how "$WORK/open.json"; ok "an open address without authentication is refused $how" all 'exits 3' 'empty "$out"' 'says insecure'
done
run check --offline --json "$WORK/open.json"; ok "the same as JSON" all 'exits 3' json 'json_says "\"insecure\" in d[\"error\"]"'
run check --offline --insecure-plain-http "$WORK/open.json"; ok "unless it is wanted" all 'exits 0' 'prints "configuration is right"'
run serve "$WORK/open.json"; ok "serve refuses it" all 'exits 3' 'empty "$out"' 'says insecure'
exit 0
