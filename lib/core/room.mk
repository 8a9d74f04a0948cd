core := brain door session link handshake inbound leg call limits request forward reply route cache catalog items merge hello reverse restore
core += listen feed tap filter
core += report
