core := brain door session link handshake inbound leg call request forward reply route catalog items merge hello reverse restore listen
