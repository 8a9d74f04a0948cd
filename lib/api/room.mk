api := version config gateway client transport session store idempotency
