# The brain, by what its files are about; brain.h is what they share, core.h what the gateway sees.
core := brain drain reload report
# what becomes of a request: policy of ceilings, places, attempts, and the way back
core += $(addprefix call/,door call request forward reply leg limits gate rate retry tail)
# conversations with upstreams: whose they are, how they begin, fail and are replaced
core += $(addprefix link/,link handshake bind share inbound reverse restore breaker suspect)
# what upstreams offer: fetched, kept, pinned, put together, and found by name
core += $(addprefix list/,catalog items audience cache known pin merge hello route)
# subscriptions/listen, and the streams that listeners share
core += $(addprefix listen/,listen feed tap filter)
# who is calling, and in which workflow
core += $(addprefix context/,session context handle)
# the delivery contract
core += $(addprefix once/,once once_key idem idem_hub idem_op idem_record)
