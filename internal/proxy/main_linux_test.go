package proxy

func init() { fewestJoined = 1 } // so that everything goes through the ring
