base := mem slice buf blob segs map heap err log clock id
