wire := message era build headers params
