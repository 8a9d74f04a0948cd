cmd := main args say json loop target log probe serve stdio lines out check tools call show pin
cmd += door table sessions store
