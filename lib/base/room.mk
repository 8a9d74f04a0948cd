base := mem slice buf blob map heap list err log clock id
