core := brain door link handshake inbound leg call limits request forward reply route catalog items merge hello reverse restore
core += listen feed tap filter tail
core += report
core += session context bind share handle
core += gate breaker retry rate suspect
core += cache pin audience known
core += idem idem_op idem_record idem_hub once once_key
core += reload drain
