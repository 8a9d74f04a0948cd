store := store env record read queue apply care owner short
