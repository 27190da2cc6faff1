-- Connections that are opened and ask for nothing while wrk runs.
function delay() return 3600000 end
