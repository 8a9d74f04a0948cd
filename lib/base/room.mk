base := mem slice buf blob segs map heap list err log clock id
